"""People for a demo: tenants, members of every role, staff. Idempotent; passwords come from the caller."""

import msgspec

from trunkline_tenants.directory import Directory
from trunkline_tenants.permissions import MemberRole, StaffRole
from trunkline_tenants.schemas import TenantInfo, UserInfo


class Person(msgspec.Struct, frozen=True):
    email: str
    name: str
    roles: tuple[tuple[str, MemberRole], ...] = ()
    """(tenant's slug, role)."""
    staff: StaffRole | None = None


TENANTS = {"globex": "Globex Corporation", "initech": "Initech", "umbra": "Umbra Analytics"}

PEOPLE = (
    Person("ada@globex.example", "Ada Byron", (("globex", "owner"),)),
    Person("grace@globex.example", "Grace Murray", (("globex", "admin"),)),
    Person("vera@globex.example", "Vera Cooper", (("globex", "viewer"),)),
    Person("peter@initech.example", "Peter Gibbons", (("initech", "owner"),)),
    Person("milton@initech.example", "Milton Waddams", (("initech", "viewer"),)),
    Person("iris@umbra.example", "Iris Kowalski", (("umbra", "owner"), ("initech", "admin"))),
    Person("support@trunkline.example", "Sam Okafor", staff="support"),
    Person("chief@trunkline.example", "Chris Tanaka", staff="admin"),
)


class Seeded(msgspec.Struct, frozen=True):
    tenants: dict[str, TenantInfo]
    """By slug."""
    users: dict[str, UserInfo]
    """By address."""


async def seed_people(directory: Directory, *, member_password: str, staff_password: str) -> Seeded:
    """Makes what is missing; leaves existing tenants, accounts and their passwords alone."""
    tenants: dict[str, TenantInfo] = {}
    for slug, name in TENANTS.items():
        tenants[slug] = await directory.tenant_by_slug(slug) or await directory.create_tenant(slug, name)
    users: dict[str, UserInfo] = {}
    for person in PEOPLE:
        user = await directory.user_by_email(person.email)
        if user is None:
            password = staff_password if person.staff else member_password
            user = await directory.create_user(person.email, person.name, password, staff_role=person.staff)
            for slug, role in person.roles:
                await directory.set_member(tenants[slug].id, user.id, role)
        users[person.email] = user
    return Seeded(tenants, users)
