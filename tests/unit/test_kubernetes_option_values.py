"""Values of options of Kubernetes' components that are lists: what a component would not start with is refused."""

import pytest

from jeroboam.coes.kubernetes import flags
from jeroboam.domain.errors import Invalid


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("kubelet_options", option)
            for option in (
                "--allowed-unsafe-sysctls=vm.swappiness",
                "--container-log-max-size=big",
                "--cpu-manager-policy-options=fast=true",
                "--eviction-soft=memory.available<200Mi --eviction-soft-grace-period=memory.available=soon",
                "--kube-api-content-type=text/plain",
                "--qos-reserved=memory=many",
                "--reserved-cpus=abc",
                "--reserved-memory=memory",
                "--tls-cipher-suites=TLS_NULL",
                "--topology-manager-policy-options=max-allowable-numa-nodes=many",
                "--vmodule=scheduler",
            )
        ),
        ("kubeapi_options", "--allow-metric-labels=metric"),
        ("kubeapi_options", "--disabled-metrics=a.b"),
        ("kubeapi_options", "--strict-transport-security-directives=max-age=x"),
        ("kubeapi_options", "--tls-cipher-suites=TLS_AES_128_GCM_SHA256,SSL"),
        ("kubecontroller_options", "--cidr-allocator-type=Any"),
        ("kubescheduler_options", "--write-config-to=/tmp/x"),
        ("kubeproxy_options", "--nodeport-addresses=everywhere"),
    ],
)
def test_a_value_that_a_component_would_not_start_with(name, value):
    with pytest.raises(Invalid, match="this option") as refused:
        flags.check({name: value})
    assert refused.value.field == f"labels/{name}"


@pytest.mark.parametrize(
    "labels",
    [
        {"kubelet_options": "--reserved-cpus=0-1,3 --container-log-max-size=20Mi --vmodule=pod*=4,kubelet=2"},
        {"kubelet_options": "--cpu-manager-policy=static --cpu-manager-policy-options=full-pcpus-only=true"},
        {"kubelet_options": "--allowed-unsafe-sysctls=kernel.msg*,net.core.somaxconn,net.ipv4.conf.all.arp_ignore"},
        {"kubelet_options": "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384"},
        {"kubeapi_options": "--watch-cache-sizes=pods#200 --disabled-metrics=a_b,c_d"},
        {"kubeapi_options": "--strict-transport-security-directives=max-age=31536000,includeSubDomains,preload"},
    ],
)
def test_a_value_that_it_takes(labels):
    flags.check(labels)
