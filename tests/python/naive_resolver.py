"""The resolver a second time: written from spec/resolution.md, clause by clause, without a thought for speed.

A case is a dict as tests/tools/resolve_claims.c reads it; resolve(case) gives what that tool writes.
"""
import calendar
import datetime
import functools

GROUPS = ["identity", "place", "contact", "hours", "access", "description", "classification", "status"]
ROLES = ["contract", "provider", "editor", "coordinator", "resident", "import"]
KINDS = ["organization", "service", "location", "service_at_location", "program", "taxonomy_term", "contract", "activity",
         "relation", "request", "professional", "confirmation"]
RESERVED = ["id", "verified", "partial", "derived_from", "pin_reason", "pin_expires"]  # [REC-6]
FIELDS = {  # section 2
    "identity": "alternate_name alternate_names code external_identifier external_identifier_type from_id from_kind identifiers "
                "legal_name legal_status name organization organization_id organization_identifiers parent_id "
                "parent_organization_id program program_id service service_id tax_id tax_status taxonomy taxonomy_detail "
                "taxonomy_id term_uri title to_id to_kind type uri year_incorporated",
    "place": "addresses areas latitude location location_id location_type locations longitude service_areas "
             "service_at_locations transportation",
    "contact": "contacts email phones url website websites",
    "hours": "ends_at schedules starts_at timezone",
    "access": "access accessibility application_process cost_options costs eligibility_description fees fees_description "
              "interpretation_services languages maximum_age minimum_age required_documents wait_time",
    "classification": "attributes jeugdwet_products positive_health specialism target_groups themes wmo_products",
    "status": "alert assured_date assurer_email last_modified status valid_from valid_to",
}
GROUP_OF = {field: group for group, fields in FIELDS.items() for field in fields.split()}
EPOCH = datetime.date(1970, 1, 1)


def group_of(kind, field):
    return "identity" if kind in ("contract", "relation") else GROUP_OF.get(field, "description")


def day(text):
    return datetime.date.fromisoformat(text)


def add_months(start, months):
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    return datetime.date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


class Policy:
    """[POL-1]: the canonical text, read."""

    def __init__(self, text):
        lines = text.split("\n")
        assert lines[0] == "kaartd-policy/v1" and lines[-1] == ""
        self.groups, self.origins = {}, {}
        for line in lines[1:-1]:
            word, name, *rest = line.split(" ")
            values = dict(part.split("=", 1) for part in rest)
            if word == "group":
                order = [] if values["order"] == "-" else values["order"].split(",")
                self.groups[name] = (values["stale-after"], order)
            else:
                self.origins[name] = {
                    "place": len(self.origins),
                    "areas": [] if values["areas"] == "-" else values["areas"].split(","),
                    "roles": None if values["roles"] == "*" else values["roles"].split(","),
                    "kinds": None if values["kinds"] == "*" else values["kinds"].split(","),
                    "steward": values["steward"] == "yes", "suspended": values["suspended"] == "yes"}

    def rank(self, group, role, home):
        order = self.groups[group][1]
        place = role + "@home" if home else role
        return order.index(place) if place in order else len(order)  # [POL-3]

    def stale_from(self, group, verified):
        after = self.groups[group][0]
        if after == "never":
            return None
        last = add_months(verified, int(after[:-1])) if after[-1] == "m" else verified + datetime.timedelta(int(after[:-1]))
        return last + datetime.timedelta(1)


def covers(granted, named):
    """[RES-6]; how specific the granted area is, 0 if it does not cover."""
    level = {"NL": 1, "GM": 2, "WK": 3, "BU": 4}
    if granted == "NL":
        return 1
    fits = level[granted[:2]] <= level[named[:2]] and named[2:].startswith(granted[2:])
    return level[granted[:2]] if fits else 0


def coverage(origin, claim):
    return max([covers(granted, named) for granted in origin["areas"] for named in claim.get("areas") or []], default=0)


def is_link(claim):
    return claim["kind"] == "relation" and claim["body"].get("type") in ("same-as", "not-same-as")


class Resolution:
    def __init__(self, case):
        self.policy, self.today, self.claims = Policy(case["policy"]), day(case["day"]), case["claims"]
        self.changes = []
        self.standings = [self.standing(claim) for claim in self.claims]
        self.surplus()
        if any(standing == "counts" and is_link(claim) for claim, standing in zip(self.claims, self.standings)):  # [RES-4]
            self.standings = ["no-steward" if standing == "counts" and not is_link(claim) else standing
                              for claim, standing in zip(self.claims, self.standings)]
        self.counting = [claim for claim, standing in zip(self.claims, self.standings) if standing == "counts"]
        for claim in self.counting:
            if claim["source"].startswith("pin-"):  # [RES-12]
                self.later(day(claim["body"]["pin_expires"]) + datetime.timedelta(1))
        self.home = self.find_home()
        self.verified = {id(claim): self.verified_of(claim) for claim in self.counting}
        self.roles = {id(claim): claim["role"] for claim in self.counting}
        owner = self.find_owner()
        for claim in self.counting:  # [RES-10]
            of = claim["id"] if claim["kind"] == "organization" else owner
            if claim["role"] == "provider" and (of is None or claim.get("on_behalf_of") != of):
                self.roles[id(claim)] = "resident"

    def origin(self, claim):
        return self.policy.origins.get(claim["feed"].split("/")[0])

    def later(self, changed):
        if changed > self.today:
            self.changes.append(changed)

    def standing(self, claim):
        """[RES-3], in its order."""
        origin, body = self.origin(claim), claim["body"]
        if claim["kind"] not in KINDS:
            return "unknown-kind"
        if claim["role"] not in ROLES:
            return "unknown-role"
        if origin is None:
            return "unknown-origin"
        if origin["suspended"]:
            return "suspended"
        if origin["roles"] is not None and claim["role"] not in origin["roles"]:
            return "role-not-granted"
        if origin["kinds"] is not None and claim["kind"] not in origin["kinds"]:
            return "kind-not-granted"
        if claim.get("areas") and not coverage(origin, claim):
            return "area-not-granted"
        if claim.get("invalid"):
            return "invalid-body"
        if day(claim["at"][:10]) > self.today:
            self.later(day(claim["at"][:10]))
            return "from-the-future"
        if is_link(claim) and not origin["steward"]:
            return "no-steward"
        if claim["source"].startswith("pin-"):  # [RES-8]
            try:
                expires = day(body["pin_expires"])
            except (KeyError, ValueError, TypeError):
                return "invalid-body"
            if claim["source"][4:] not in GROUPS or not isinstance(body.get("pin_reason"), str) or not body["pin_reason"]:
                return "invalid-body"
            if not origin["steward"]:
                return "no-steward"
            if expires < self.today:
                return "pin-expired"
        return "counts"

    def surplus(self):
        """[RES-5]"""
        for feed in {claim["feed"] for claim in self.claims}:
            of_feed = sorted((claim["seq"], i) for i, claim in enumerate(self.claims) if claim["feed"] == feed)
            for _, i in of_feed[64:]:
                if self.standings[i] == "counts":  # the first reason is shown [RES-3]
                    self.standings[i] = "too-many"

    def find_home(self):
        """[RES-7]"""
        best = None
        for claim in self.counting:
            if claim["source"].startswith("pin-"):
                continue
            origin, name = self.origin(claim), claim["feed"].split("/")[0]
            level = coverage(origin, claim)
            if level and (best is None or (-level, origin["place"]) < best[0]):
                best = ((-level, origin["place"]), name)
        return best[1] if best else None

    def at_home(self, claim):
        return claim["feed"].split("/")[0] == self.home

    def verified_of(self, claim):
        """[RES-9]"""
        at = day(claim["at"][:10])
        verified = min(day(claim["verified"]), at) if claim.get("verified") else at
        confirmed = claim.get("confirmed")
        if not confirmed or claim.get("excepted") or claim.get("missing_since") or claim["at"] > confirmed["at"]:
            return verified
        said = day(confirmed["at"][:10])
        if said > self.today:
            self.later(said)
            return verified
        return max(verified, min(day(confirmed["verified"]) if confirmed.get("verified") else said, said))

    def find_owner(self):
        """[RES-10]"""
        def said(claim):
            if claim["source"].startswith("pin-") and claim["source"] != "pin-identity":
                return None
            value = claim["body"].get("from_id" if claim["kind"] == "relation" else "organization_id")
            return value if isinstance(value, str) else None

        others = [claim for claim in self.counting if claim["role"] not in ("provider", "resident") and said(claim) is not None]
        if others:
            return said(min(others, key=self.key("identity")))
        for home in (True, False):
            words = {said(claim) for claim in self.counting
                     if claim["role"] == "provider" and self.at_home(claim) == home and said(claim) is not None}
            if words:
                return words.pop() if len(words) == 1 else None
        return None

    def is_stale(self, claim, group):
        from_day = self.policy.stale_from(group, self.verified[id(claim)])
        return from_day is not None and from_day <= self.today

    def compare(self, group, a, b):
        """[RES-11]: (-1 or 1, rule); a is before b if -1."""
        def pin(claim):
            return 0 if claim["source"] == "pin-" + group else 1

        keys = [
            ("pin", pin, 1), ("fresh", lambda c: self.is_stale(c, group), 1),
            ("rank", lambda c: max(self.policy.rank(group, role, self.at_home(c)) for role in (c["role"], self.roles[id(c)])), 1),
            ("later", lambda c: c["at"], -1), ("leaf", lambda c: c["leaf"], -1), ("feed", lambda c: c["feed"].encode(), 1)]
        for rule, key, direction in keys:
            if key(a) != key(b):
                return (-1 if key(a) < key(b) else 1) * direction, rule
        return (-1 if a["seq"] < b["seq"] else 1), "feed"

    def key(self, group):
        return functools.cmp_to_key(lambda a, b: 0 if a is b else self.compare(group, a, b)[0])

    def fields(self):
        names = {name for claim in self.counting for name in claim["body"] if name not in RESERVED}
        place = {id(claim): i for i, claim in enumerate(self.claims)}
        result = {}
        for name in sorted(names, key=lambda text: text.encode()):
            group = group_of(self.claims[0]["kind"], name)
            having = [claim for claim in self.counting if name in claim["body"]
                      and (not claim["source"].startswith("pin-") or claim["source"] == "pin-" + group)]
            if not having:
                continue
            having.sort(key=self.key(group))
            rule = self.compare(group, having[0], having[1])[1] if len(having) > 1 else "only"
            result[name] = [place[id(having[0])], rule, [place[id(claim)] for claim in having[1:]]]
            for claim in having if len(having) > 1 else []:
                from_day = self.policy.stale_from(group, self.verified[id(claim)])
                if from_day is not None:
                    self.later(from_day)
        return result


def resolve(case):
    resolution = Resolution(case)
    fields = resolution.fields()
    return {"home": resolution.home, "next_day": min(resolution.changes).isoformat() if resolution.changes else None,
            "standings": resolution.standings, "fields": fields}
