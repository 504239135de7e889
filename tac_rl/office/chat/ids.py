"""New identifiers that nothing has yet: a tenant that was cloned may draw again what its snapshot drew."""

from tac_rl.office.tenant import Tenant


def fresh_id(tenant: Tenant, table: str, column: str = "id", length: int = 17) -> str:
    while True:
        made = tenant.new_id(length)
        if tenant.value(f"SELECT 1 FROM {table} WHERE {column} = ?", made) is None:
            return made
