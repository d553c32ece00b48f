"""Validation of option values of Kubernetes' programs: their type and their bounds.

A program exits at once when a value is wrong, and the cluster would wait for it until its deadline. The bounds are
those of the programs' own validation. Neighbours: `flags`, which knows the options.
"""

import re

_NUMBER = r"-?\d{1,10}"
_VALUES = {
    **dict.fromkeys(("int", "int32", "uint", "Level"), (_NUMBER, "a whole number")),
    **dict.fromkeys(("float", "float32"), (r"-?\d{1,10}(\.\d{1,10})?", "a number")),
    "duration": (r"0|(\d{1,10}(\.\d{1,10})?(ns|us|ms|s|m|h))+", "a duration such as 1m30s"),
    **dict.fromkeys(("bool", "RuntimeDefault"), (r"true|false", "true or false")),
    "quantity": (r"\d{1,12}(\.\d{1,6})?([KMGTPE]i?|k|m)?", "a quantity such as 64Mi"),
    "mapStringBool": (r"\w+=(true|false)(,\w+=(true|false))*", "words such as Name=true, with commas"),
    "portRange": (r"\d{1,5}[-+]\d{1,5}", "a range of ports such as 30000-32767"),
}
_NUMBERS = frozenset({"int", "int32", "uint", "Level", "float", "float32"})
_CHOICES = {
    "cidr-allocator-type": ("RangeAllocator", "CloudAllocator"),
    "kube-api-content-type": ("application/json", "application/vnd.kubernetes.protobuf"),
    "cpu-manager-policy": ("none", "static"),
    "hairpin-mode": ("promiscuous-bridge", "hairpin-veth", "none"),
    "logging-format": ("text", "json"),
    "memory-manager-policy": ("None", "Static"),
    "proxy-mode": ("nftables", "iptables"),
    "tls-min-version": ("VersionTLS12", "VersionTLS13"),
    "topology-manager-policy": ("none", "best-effort", "restricted", "single-numa-node"),
    "topology-manager-scope": ("container", "pod"),
}
_MOST = 2**31 - 1
_UNLIMITED = frozenset(
    {"pod-max-pids", "node-status-max-images", "maximum-dead-containers", "maximum-dead-containers-per-container"}
)
_BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(_UNLIMITED, (-1, _MOST)),
    "terminated-pod-gc-threshold": (-_MOST, _MOST),
    "image-gc-high-threshold": (0, 100),
    "image-gc-low-threshold": (0, 100),
    "container-log-max-files": (2, _MOST),
    "goaway-chance": (0, 0.02),
    "iptables-masquerade-bit": (0, 31),
    "unhealthy-zone-threshold": (0, 1),
}
_QUANTITY = r"\d{1,12}(\.\d{1,6})?([KMGTPE]i?|k|m)?"
_RESERVED = rf"(cpu|memory|ephemeral-storage|pid)={_QUANTITY}"
_SIGNAL = r"(memory\.available|(nodefs|imagefs)\.(available|inodesFree)|pid\.available)"
_AMOUNT = rf"({_QUANTITY}|\d{{1,2}}(\.\d{{1,6}})?%|100%)"
_DURATION = r"(\d{1,10}(\.\d{1,10})?(ns|us|ms|s|m|h))+"
_BULK = r"(AES_(128|256)_CBC_SHA|AES_128_(CBC|GCM)_SHA256|AES_256_GCM_SHA384|RC4_128_SHA|3DES_EDE_CBC_SHA)"
_SUITE = (
    r"TLS_(AES_128_GCM_SHA256|AES_256_GCM_SHA384|CHACHA20_POLY1305_SHA256"
    rf"|ECDHE_(ECDSA|RSA)_WITH_({_BULK}|CHACHA20_POLY1305(_SHA256)?)|RSA_WITH_{_BULK})"
)
_SYSCTL = r"(kernel\.(shm|msg)[a-z_]*\*?|kernel\.sem|(fs\.mqueue|net)\.([a-z0-9_]+[./])*([a-z0-9_]+|\*))"
_CPU_OPTIONS = (
    "full-pcpus-only|distribute-cpus-across-numa|align-by-socket|distribute-cpus-across-cores|strict-cpu-reservation"
    "|prefer-align-cpus-by-uncorecache"
)
_TOPOLOGY = r"(prefer-closest-numa-nodes=(true|false)|max-allowable-numa-nodes=\d{1,4})"
_NETWORK = r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}"


def _list(item: str) -> str:
    """Return a pattern for one or more items with commas between them."""
    return f"{item}(,{item})*"


_FORMS = {
    "allow-metric-labels": (r"\w+,\w+=.+", "a metric, a label and its values, as metric,label=a,b"),
    "allowed-unsafe-sysctls": (_list(_SYSCTL), "sysctls that belong to a pod, as net.core.somaxconn, with commas"),
    "container-log-max-size": (_QUANTITY, "a quantity such as 10Mi"),
    "cpu-manager-policy-options": (_list(rf"({_CPU_OPTIONS})=(true|false)"), "as full-pcpus-only=true"),
    "disabled-metrics": (_list(r"\w+"), "names of metrics, with commas"),
    "eviction-soft-grace-period": (_list(rf"{_SIGNAL}={_DURATION}"), "times, as memory.available=1m30s"),
    "nodeport-addresses": (rf"primary|{_list(_NETWORK)}", "networks such as 192.0.2.0/24, with commas"),
    "qos-reserved": (r"memory=(\d{1,2}|100)%", "a share of memory, as memory=50%"),
    "reserved-cpus": (_list(r"\d{1,4}(-\d{1,4})?"), "numbers of cores, as 0-1,3"),
    "reserved-memory": (
        rf"\d{{1,3}}:{_list(rf'(memory|hugepages-[0-9]+[KMG]i)={_QUANTITY}')}",
        "a NUMA node and its amounts, as 0:memory=1Gi",
    ),
    "strict-transport-security-directives": (
        _list(r"(max-age=\d{1,10}|includeSubDomains|preload)"),
        "of max-age=SECONDS, includeSubDomains and preload",
    ),
    "tls-cipher-suites": (_list(_SUITE), "cipher suites such as TLS_AES_128_GCM_SHA256, with commas"),
    "topology-manager-policy-options": (_list(_TOPOLOGY), "as prefer-closest-numa-nodes=true"),
    "vmodule": (_list(r"[^=,\s]+=\d{1,3}"), "levels by file, as file=2, with commas"),
    **dict.fromkeys(
        ("kube-reserved", "system-reserved"),
        (_list(_RESERVED), "amounts of cpu, memory, ephemeral-storage or pid, as cpu=100m,memory=64Mi"),
    ),
    **dict.fromkeys(
        ("eviction-hard", "eviction-soft"),
        (_list(f"{_SIGNAL}<{_AMOUNT}"), "thresholds of a kubelet, as memory.available<100Mi"),
    ),
    "eviction-minimum-reclaim": (_list(f"{_SIGNAL}={_AMOUNT}"), "amounts, as nodefs.available=1Gi"),
}
_VERSIONS = frozenset({"emulated-version", "min-compatibility-version"})
_VERSION = re.compile(r"(?:kube=)?1\.([0-9]{1,3})", re.ASCII)
# How many minor versions back a program can emulate.
_EMULATED_MINORS = 3
OLDEST, NEWEST = 35, 36
"""The oldest and the newest minor version with a node image."""
_TAG = re.compile(r"v1\.([0-9]{1,3})\.[0-9]+", re.ASCII)


def explain_bad_value(name: str, value: str, kind: str, tag: str | None) -> str:
    """Return why a program of version `tag` (None: any version) rejects the value; empty when it accepts it."""
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"this option has to be one of: {', '.join(_CHOICES[name])}."
    pattern, description = _FORMS.get(name) or _VALUES.get(kind, (r".+", "something"))
    if not re.fullmatch(pattern, value, re.ASCII):
        return f"the value of this option has to be {description}."
    if kind in _NUMBERS:
        low, high = _BOUNDS.get(name, (1 if name.startswith("concurrent-") else 0, _MOST))
        if not low <= float(value) <= high:
            return f"the value of this option has to be a number from {low:g} to {high:.15g}."
    if name in _VERSIONS:
        return _explain_bad_version(value, tag)
    return ""


def explain_bad_combination(options: dict[str, str]) -> str:
    """Return why a kubelet rejects these options together; empty when it accepts them."""
    high, low = (float(options.get(f"image-gc-{which}-threshold", at)) for which, at in (("high", 100), ("low", 80)))
    if low >= high:
        return f"image-gc-low-threshold ({low:g}) has to be less than image-gc-high-threshold ({high:g})."
    soft = {part.partition("<")[0] for part in options.get("eviction-soft", "").split(",") if part}
    grace = {part.partition("=")[0] for part in options.get("eviction-soft-grace-period", "").split(",") if part}
    if soft != grace:
        return "eviction-soft and eviction-soft-grace-period have to name the same signals."
    return ""


def _explain_bad_version(value: str, tag: str | None) -> str:
    matches = [_VERSION.fullmatch(word) for word in value.split(",")]
    tag_match = _TAG.fullmatch(tag or "")
    oldest, newest = (int(tag_match[1]), int(tag_match[1])) if tag_match else (OLDEST, NEWEST)
    first = oldest - _EMULATED_MINORS
    if any(match is None or not first <= int(match[1]) <= newest for match in matches):
        return f"the value of this option has to be a version from 1.{first} to 1.{newest}."
    return ""
