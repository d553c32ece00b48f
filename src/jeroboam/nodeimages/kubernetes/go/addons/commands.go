//go:build commands

// Package addons names the published commands that are built in this module, so that `go mod tidy` keeps their
// dependencies.
package addons

import (
	_ "github.com/flannel-io/flannel"
	_ "github.com/rancher/local-path-provisioner"
	_ "sigs.k8s.io/metrics-server/cmd/metrics-server"
)
