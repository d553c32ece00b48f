"""Where the nodes of clusters come from: `base` is the contract, one module a driver."""
