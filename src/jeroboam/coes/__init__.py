"""What makes nodes one cluster: `base` is the contract, one module a driver."""
