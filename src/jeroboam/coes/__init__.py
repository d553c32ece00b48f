"""Container orchestration engines: `base` defines the contract, each folder beside it is a driver."""
