"""The proof that no two deliveries share a path: every path that all jobs will use is distinct, or two that are not. Pure.

Compared are the files, their sidecars and their later revisions, at every endpoint, as paths of one place (a server and an
account, whatever endpoints lead to it), without regard to case. Temporary names need no proof: `temp_name` must hold
{name} and {attempt}, and an attempt's id is unique.

Most is shown without making a single path: by their shapes two jobs' names differ at some character, and one job's names
tell its slots apart by their fields. Only what is left is enumerated: the slots around a zone's clock changes, or all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import chain, islice
from zoneinfo import ZoneInfo

from batchxfer import paths, shapes, telling, zones
from batchxfer.families import Destination, Family, Names, families, series
from batchxfer.model import Due, FileRole, utc

__all__ = ["DAYS", "Collision", "Destination", "Names", "Use", "collisions"]

DAYS = 800
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
# Two slots whose names are alike only because a clock changed between them are on one local day.
AROUND_CHANGE = timedelta(hours=26)
MOST_READ_BACK = 5000


@dataclass(frozen=True, kw_only=True)
class Use:
    """One path that will be used, below its endpoint's root."""

    job: str
    endpoint: str
    role: FileRole
    slot: datetime
    revision: int
    path: str

    def __str__(self) -> str:
        kind = {FileRole.DATA: "", FileRole.CHECKSUM: "checksum file ", FileRole.DONE: "done file "}[self.role]
        revision = f", revision {self.revision}," if self.revision > 1 else ""
        return f"{kind}{self.path!r} of job {self.job!r} at {self.endpoint!r}{revision} for the slot {self.slot.isoformat()}"


@dataclass(frozen=True, kw_only=True)
class Collision:
    """Two uses of one path, and how to mend it."""

    first: Use
    second: Use

    @property
    def problem(self) -> str:
        same = "the same file" if self.first.path == self.second.path else "one file, but for case or root"
        return f"{self.first} and {self.second} are {same}"

    @property
    def mend(self) -> str:
        first, second = self.first, self.second
        if first.job != second.job:
            return "put {job} into the path of one of them, or give them different folders"
        if first.endpoint != second.endpoint:
            return (
                f"{first.endpoint!r} and {second.endpoint!r} lead to one folder: keep one, or give them different roots"
            )
        if first.role != second.role:
            return "give each file a name of its own, like {path}.sha256 and {path}.done"
        if first.revision != second.revision:
            return "put a letter before {revision}, like .r{revision}"
        if first.role is not FileRole.DATA:
            return "put {path} into the template of the sidecar"
        return (
            "put the slot's date and time into the path, like {slot_utc:%Y%m%dT%H%M%SZ} or {slot:%Y%m%dT%H%M%S%z}, "
            'or let later files replace earlier ones with on_exists = "replace"'
        )


def collisions(jobs: Iterable[Names], now: datetime, *, days: int = DAYS) -> list[Collision]:
    """Paths that would be used twice in the `days` from `now` on: for each job, and each two jobs, one example at most."""
    proof = _Proof(utc(now), utc(now) + days * DAY)
    known = list(jobs)
    return [*proof.within(known), *proof.between(known)]


class _Proof:
    """One proof, for the slots in [start, end)."""

    def __init__(self, start: datetime, end: datetime) -> None:
        self.start = start
        self.end = end
        self._offsets = cache(self._all_offsets)
        self._shown: set[object] = set()

    def _shapes(self, family: Family) -> list[str]:
        """The shapes of a family's paths, as paths of the place."""
        names, revision = family.names, _revision_for_shape(family.revisions)
        offsets = {
            **dict.fromkeys(("slot", "interval_start", "interval_end"), self._offsets(names.timetable.zone)),
            "slot_utc": frozenset({timedelta()}),
            "slot_local": self._offsets(family.destination.zone),
        }
        made = shapes.shapes(names.path, names.job, revision, offsets)
        if not names.path.uses("revision"):
            made = [paths.with_revision(shape, revision) for shape in made]
        return [family.place(family.sidecar(shape)) for shape in made]

    def _all_offsets(self, zone: ZoneInfo) -> frozenset[timedelta]:
        """The offsets that a zone has around the time looked at: an interval may begin a year earlier."""
        changes = zones.changes_between(zone, self.start - 366 * DAY, self.end + 366 * DAY)
        now = self.start.astimezone(zone).utcoffset() or timedelta()
        return frozenset({now, *(change.before for change in changes), *(change.after for change in changes)})

    # --- one job: a file of one slot, and the same file of another ---

    def within(self, jobs: Iterable[Names]) -> Iterator[Collision]:
        for names in jobs:
            found = (self._same_path(family) for family in series(names) if not names.replace)
            yield from islice((collision for collision in found if collision), 1)

    def _same_path(self, family: Family) -> Collision | None:
        known = self._shapes(family)
        # The same fields of the same schedule tell the same slots apart, whatever stands between them.
        key = (family.names.timetable, family.destination.zone, frozenset(shapes.marks(shape) for shape in known))
        if key in self._shown:
            return None
        told = set.intersection(*(shapes.told(shape) for shape in known))
        if pair := _twice(family, self._doubtful(family, told)):
            return Collision(first=_use(family, pair[0]), second=_use(family, pair[1]))
        self._shown.add(key)
        return None

    def _doubtful(self, family: Family, told: set[tuple[str, str]]) -> Iterator[Due]:
        """The slots whose names are not shown to differ by what they tell."""
        timetable = family.names.timetable
        if ("run", "run") in told:
            return
        if timetable.schedule is None:
            if not telling.tells_second(told):
                yield from self._by_hand(family)
        elif not telling.tells_slots_apart(timetable, told):
            yield from timetable.between(self.start, self.end)
        elif not telling.tells_instant(told):
            for first, last in self._changing(family):
                yield from timetable.between(first, last)

    def _changing(self, family: Family) -> list[tuple[datetime, datetime]]:
        """The times around the clock changes of the job's zone and the endpoint's, apart from each other."""
        found: list[tuple[datetime, datetime]] = []
        both = {family.names.timetable.zone, family.destination.zone}
        changes = (zones.changes_between(zone, self.start - AROUND_CHANGE, self.end + AROUND_CHANGE) for zone in both)
        for at in sorted({change.at for change in chain.from_iterable(changes)}):
            first, last = max(at - AROUND_CHANGE, self.start), min(at + AROUND_CHANGE, self.end)
            if found and first < found[-1][1]:
                first = found.pop()[0]
            found.append((first, last))
        return found

    def _by_hand(self, family: Family) -> Iterator[Due]:
        """Slots of a job without schedule of which two have the same name, unless it tells date and time to the second."""
        begin = self.start.replace(microsecond=0)
        steps = (timedelta(), SECOND, MINUTE, HOUR)
        hours = (number * HOUR for number in range(12, 24 * DAYS))
        for step in chain(steps, hours):
            yield family.names.timetable.by_hand(begin + step)

    # --- other jobs, sidecars, revisions, and endpoints that lead to one place ---

    def between(self, jobs: Sequence[Names]) -> Iterator[Collision]:
        by_place: dict[str, list[Family]] = defaultdict(list)
        for family in chain.from_iterable(families(names) for names in jobs):
            by_place[family.destination.place].append(family)
        told: set[frozenset[str]] = set()
        for collision in chain.from_iterable(self._in_place(known) for known in by_place.values()):
            pair = frozenset({collision.first.job, collision.second.job})
            if pair not in told:
                told.add(pair)
                yield collision

    def _in_place(self, known: list[Family]) -> Iterator[Collision]:
        owners = [(shape, family) for family in known for shape in self._shapes(family)]
        owners = [(shape, family) for shape, family in owners if ("run", "run") not in shapes.told(shape)]
        for group in shapes.suspects([shape for shape, _ in owners]):
            suspected = list(dict.fromkeys(owners[index][1] for index in group))
            one_shape = len({owners[index][0] for index in group}) == 1
            # Later revisions that look alike are alike where the first ones are.
            if len(suspected) > 1 and not (one_shape and suspected[0].revisions[0] > 1):
                yield from self._in_group(suspected)

    def _in_group(self, suspected: list[Family]) -> Iterator[Collision]:
        """Make every name of these families; each stops at its first collision."""
        seen: dict[str, tuple[Family, Due, int]] = {}
        by_hand = [family for family in suspected if family.names.timetable.schedule is None]
        for family in suspected:
            if family not in by_hand:
                yield from _first_taken(family, family.names.timetable.between(self.start, self.end), seen)
        for family in by_hand:
            dues = [*self._read_back(family, seen), *self._samples(family)]
            yield from _first_taken(family, dues, seen)

    def _read_back(self, family: Family, taken: Iterable[str]) -> Iterator[Due]:
        """The slots for which a job without schedule would use a path that is taken, read from the path itself."""
        zone_of = {"slot": family.names.timetable.zone, "slot_local": family.destination.zone}
        known = self._shapes(family)
        for path in islice(taken, MOST_READ_BACK):
            for shape in known:
                if shapes.overlap(shape, path):
                    instants = telling.read(shapes.values(shape, path), zone_of)
                    yield from (family.names.timetable.by_hand(at) for at in instants)

    def _samples(self, family: Family) -> Iterator[Due]:
        """Some slots of a job without schedule, to be read back from by its likes."""
        begin = self.start.replace(microsecond=0)
        for number in range(12):
            yield family.names.timetable.by_hand(begin + number * (31 * DAY + 7 * HOUR + 13 * MINUTE + 17 * SECOND))


def _revision_for_shape(revisions: range) -> int:
    if len(revisions) == 1:
        return revisions[0]
    return shapes.ONE_DIGIT if revisions[-1] < 10 else shapes.TWO_DIGITS


def _use(family: Family, due: Due, revision: int = 1) -> Use:
    return Use(
        job=family.names.job,
        endpoint=family.destination.endpoint,
        role=family.role,
        slot=due.slot,
        revision=revision,
        path=family.path(due, revision),
    )


def _twice(family: Family, dues: Iterable[Due]) -> tuple[Due, Due] | None:
    """The first two slots with one path."""
    seen: dict[str, Due] = {}
    for due in dues:
        earlier = seen.setdefault(family.place(family.path(due)), due)
        if earlier is not due:
            return earlier, due
    return None


def _first_taken(family: Family, dues: Iterable[Due], seen: dict[str, tuple[Family, Due, int]]) -> Iterator[Collision]:
    """The first path of a family that another has taken, at most; all before it are `seen` from now on."""
    for due in dues:
        for revision in family.revisions:
            place = family.place(family.path(due, revision))
            owner, earlier, of_revision = seen.setdefault(place, (family, due, revision))
            if owner is family or (family.names.replace and owner.same_series(family)):
                continue
            yield Collision(first=_use(owner, earlier, of_revision), second=_use(family, due, revision))
            return
