"""What `make test-debian` takes along of this machine's settings."""

from scripts.debian.registries import rename_release, select_variables

SOURCES = """\
# see sources.list(5)
Types: deb
URIs: http://debian.example/debian
Suites: bookworm bookworm-updates
"""


def test_sources_of_another_release_name_all_its_suites_and_no_other_words():
    assert rename_release(SOURCES, "trixie") == (
        "Types: deb\nURIs: http://debian.example/debian\nSuites: trixie trixie-updates\n"
    )
    assert rename_release("deb http://bookworms.example/debian bookworm main", "trixie") == (
        "deb http://bookworms.example/debian trixie main\n"
    )


def test_a_machine_without_sources_leaves_the_choice_to_the_tool():
    assert rename_release("\n\n", "trixie") == ""


def test_settings_of_registries_go_along_and_folders_and_secrets_of_others_do_not():
    environment = {
        "PIP_INDEX_URL": "https://pypi.example/simple",
        "https_proxy": "http://proxy.example:3128",
        "GOPROXY": "https://go.example",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
        "PIP_CERT": "/opt/site/ca.pem",
        "PIP_FIND_LINKS": "wheels",
        "UV_CACHE_DIR": "cache",
        "OS_PASSWORD": "secret",
        "HOME": "/root",
    }
    assert set(select_variables(environment)) == {"PIP_INDEX_URL", "https_proxy", "GOPROXY", "SSL_CERT_FILE"}
