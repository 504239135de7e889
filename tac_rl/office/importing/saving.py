"""Keep what was read: as a YAML file, or as a snapshot that tenants can be made of."""

import tempfile
from pathlib import Path

import yaml

from tac_rl.errors import OfficeError
from tac_rl.office.laying import lay_over
from tac_rl.office.overlay import Overlay
from tac_rl.office.services import make_empty
from tac_rl.office.snapshots import Snapshots
from tac_rl.office.tenant import Tenant

_ENDINGS = (".yaml", ".yml")


def save(overlay: Overlay, out: str) -> str:
    """To the file `out` if it ends in .yaml, else as a snapshot of that name; returns what to tell the person."""
    if out.endswith(_ENDINGS):
        path = Path(out)
        write_yaml(overlay, path)
        return f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
    with tempfile.TemporaryDirectory(prefix="tac-rl-import-") as folder:
        office = Path(folder) / "office"
        make_empty(office)
        tenant = Tenant(out, office)
        try:
            lay_over(tenant, overlay)
        finally:
            tenant.close()
        return f"the snapshot {Snapshots().save(office, out)}"


def write_yaml(overlay: Overlay, path: Path) -> None:
    """What `tac_rl.office.overlay_file.read_overlay` reads; fields with their default are left out."""
    document = overlay.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(document, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OfficeError(f"{path}: could not be written: {error.strerror}") from None
