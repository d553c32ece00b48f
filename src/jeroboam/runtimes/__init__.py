"""What starts containers on a host: `base` is the contract, one module a driver."""
