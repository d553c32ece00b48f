//go:build commands

// Package flannel names the command that is built here, so that its dependencies are found.
package flannel

import _ "github.com/flannel-io/flannel"
