"""`jeroboam cluster create`. Neighbours: `definition`, what is wished for; `requests`; `progress`."""

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from jeroboam import settings as options
from jeroboam.cli.clusters import requests
from jeroboam.cli.clusters.definition import ClusterDefinition, build_definition, read_definition
from jeroboam.cli.clusters.progress import ClusterProgress
from jeroboam.cli.own_command import find_program, format_command
from jeroboam.cli.session import ask_infra
from jeroboam.cli.terminal import Config, ShowApi, State, Wait, report_errors, show_api_command, show_line
from jeroboam.clients.container_infra import ContainerInfraClient
from jeroboam.clients.openstack import find_clouds


def create_cluster(
    *,
    name: Annotated[str, typer.Argument(help="What the cluster is to be called.")] = "",
    coe: Annotated[str | None, typer.Option(help="kubernetes (the default) or swarm.", metavar="COE")] = None,
    workers: Annotated[int | None, typer.Option(help="How many workers; 1 without it.", min=0, metavar="N")] = None,
    masters: Annotated[int | None, typer.Option(help="How many masters; 1 without it.", min=1, metavar="N")] = None,
    version: Annotated[str | None, typer.Option(help="Of Kubernetes, as v1.36.3.", metavar="VERSION")] = None,
    template: Annotated[
        str | None, typer.Option(help="A cluster template; one for the COE without it.", metavar="TEMPLATE")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="Again for more.", metavar="KEY=VALUE")] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="A cluster.yaml; options win.", exists=True, dir_okay=False, metavar="FILE"),
    ] = None,
    wait: Wait = True,
    show_api: ShowApi = False,
    state: State = None,
    config: Config = None,
) -> None:
    """Create a cluster of Kubernetes or Docker Swarm.

    What it does is shown until it is there. Without --template, one for the COE is used, or made where there is none.
    """
    with report_errors():
        fields = {
            "name": name or None,
            "coe": coe,
            "workers": workers,
            "masters": masters,
            "version": version,
            "template": template,
        }
        definition = _define({key: value for key, value in fields.items() if value is not None}, label or (), file)
        if definition.node_groups and not wait:
            raise ValueError("node_groups: they are added when the cluster is complete, so --no-wait is not possible")
    ask_infra(
        lambda infra: _show_requests(infra, definition) if show_api else _create(infra, definition, wait=wait),
        state=state,
        config=config,
    )
    if wait and not show_api:
        with report_errors():
            show_line(_suggest_next(definition, options.load(config, state=state).state))


def _define(fields: dict[str, Any], labels: list[str] | tuple[str, ...], file: Path | None) -> ClusterDefinition:
    """Return what the file says, with the options in place of its fields. Raises `ValueError`."""
    base = ClusterDefinition() if file is None else read_definition(file)
    pairs = dict(base.labels)
    for label in labels:
        key, sign, value = label.partition("=")
        if not (key and sign):
            raise ValueError(f"--label {label}: KEY=VALUE is expected")
        pairs[key] = value
    values = {name: getattr(base, name) for name in base.__struct_fields__} | fields | {"labels": pairs}
    definition = build_definition(values)
    if not definition.name:
        raise ValueError("name: say what the cluster is to be called: jeroboam cluster create NAME")
    return definition


async def _show_requests(infra: ContainerInfraClient, definition: ClusterDefinition) -> None:
    name = definition.template
    if name is None:
        template = requests.choose_template(await infra.list_templates(), definition.coe)
        if template is None:
            template = requests.build_template_request(definition.coe)
            show_api_command(requests.format_create_template(template))
        name = str(template["name"])
    show_api_command(requests.format_create_cluster(requests.build_cluster_request(definition, name)))
    if definition.node_groups:
        show = shlex.join(["openstack", "coe", "cluster", "show", "-f", "value", "-c", "status", str(definition.name)])
        show_line(f'while [ "$({show})" = CREATE_IN_PROGRESS ]; do sleep 2; done')
    for group in definition.node_groups:
        body = requests.build_nodegroup_request(group)
        show_api_command(requests.format_create_nodegroup(str(definition.name), body))


async def _create(infra: ContainerInfraClient, definition: ClusterDefinition, *, wait: bool) -> None:
    if await infra.find_cluster(str(definition.name)) is not None:
        raise ValueError(f"name: there is a cluster {definition.name} already")
    template = await _find_template(infra, definition)
    if template["coe"] != definition.coe:
        raise ValueError(f"template: {template['name']} is for {template['coe']}, and the cluster is {definition.coe}")
    with ClusterProgress(infra) as progress:
        uuid = await infra.create_cluster(requests.build_cluster_request(definition, template["uuid"]))
        if not wait:
            show_line(uuid)
            return
        await progress.wait(uuid)
        for group in definition.node_groups:
            await infra.create_nodegroup(uuid, requests.build_nodegroup_request(group))
            await progress.wait(uuid)


async def _find_template(infra: ContainerInfraClient, definition: ClusterDefinition) -> dict[str, Any]:
    """Return the template to use. Creates one if the user sees none for the COE."""
    if definition.template is not None:
        return await infra.show_template(definition.template)
    template = requests.choose_template(await infra.list_templates(), definition.coe)
    if template is not None:
        return dict(template)
    return await infra.create_template(requests.build_template_request(definition.coe))


def _suggest_next(definition: ClusterDefinition, state: Path) -> str:
    """Return a line with the command that gives access to the cluster, also in another shell."""
    name = shlex.quote(str(definition.name))
    if definition.coe == "kubernetes":
        return f"kubectl reaches it after: {format_command(f'cluster kubeconfig {name}', state)}"
    # A failure stops it: a `docker` without these variables would talk to this machine's own Engine.
    config = f'{find_program("openstack")} coe cluster config {name} --dir "$PWD"/{name} --output-certs --force'
    return f'docker reaches it after: {_format_login(state)}mkdir -p {name} && CONFIG=$({config}) && eval "$CONFIG"'


def _format_login(state: Path) -> str:
    """Return what makes a shell this user; empty if only this environment has the password."""
    openrc = state.absolute() / "openrc"
    if find_clouds(state) is not None or _is_of_environment(openrc):
        return f". {shlex.quote(str(openrc))} && "
    names = [name for name in ("OS_CLIENT_CONFIG_FILE", "OS_CLOUD") if os.environ.get(name)]
    if "OS_CLOUD" not in names:
        return ""
    return f"export {' '.join(f'{name}={shlex.quote(os.environ[name])}' for name in names)} && "


def _is_of_environment(openrc: Path) -> bool:
    """Whether this shell has read that file."""
    try:
        lines = openrc.read_text().splitlines()
    except OSError:
        return False
    names = ("OS_AUTH_URL", "OS_USERNAME")
    return not os.environ.get("OS_CLOUD") and all(f"export {name}={os.environ.get(name)}" in lines for name in names)
