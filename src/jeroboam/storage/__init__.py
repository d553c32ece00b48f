"""Where volumes of containers come from: `base` is the contract, a module a driver."""
