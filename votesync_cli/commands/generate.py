"""`votesync generate`: write compose.yml."""

from __future__ import annotations

from votesync_cli import options as o
from votesync_cli.commands.context import compose_file, say
from votesync_cli.commands.file import draft_new, save
from votesync_cli.results import Said


def generate(
    common: o.Common,
    nodes: o.NodesOption = None,
    messages: o.MessagesOption = None,
    rate: o.RateOption = None,
    in_flight: o.InFlightOption = None,
    writer: o.WriterOption = None,
    round_window: o.RoundWindowOption = None,
    election_min: o.ElectionMinOption = None,
    election_max: o.ElectionMaxOption = None,
    heartbeat: o.HeartbeatOption = None,
    base_image: o.BaseImageOption = None,
    publish: o.PublishOption = None,
    faults: o.FaultsOption = None,
    force: o.ForceOption = False,
) -> Said:
    """Write compose.yml for a cluster, with the build context of its image, so that `docker compose up` works with it."""
    asked = o.asked_of(locals())
    draft = draft_new(common, asked, force=force)
    for line in save(common, draft):
        say(line)
    path, count = compose_file(common), len(draft.project.nodes)
    text = f"{path.name} describes {count} nodes and {len(draft.project.clients)} clients. Next: votesync up"
    return Said("generate", text, {"file": str(path), "nodes": count, "written": draft.write})
