"""The judge: compares the client's journal, the sink's journal and the database with one another and with the rules.

It shares nothing with the programs: the rules are those of tests/e2e/oracle.py, written from the contract.
"""

import collections

import oracle
from load import doomed

# A delivery that the sink has accepted may come again when a fault struck before the cursor was written: not later.
unrecorded_seconds = 2.0
lane_heals_seconds = 15.0
throughput_back_seconds = 10.0
throughput_share = 0.95
successes_share = 0.90


class Fault:
    """Something that was done to the system. `back`: when that was over; `end`: when Polis was ready again."""

    def __init__(self, kind, start, end, back=None):
        self.kind, self.start, self.end = kind, start, end
        self.back = start if back is None else back


class Verdict:
    def __init__(self, load, sink, database, faults, calm_until):
        self.load, self.faults, self.calm_until = load, faults, calm_until
        self.violations = []
        rows = database.rows(
            "select id, service, payload, normalized_payload, deduplication_key, source_event_id from event_details"
        )
        self.events = {row["id"]: row for row in rows}
        self.families = collections.defaultdict(list)
        for row in sorted(rows, key=lambda one: one["id"]):
            if row["source_event_id"]:
                self.families[row["source_event_id"]].append(row)
        self.messages = database.messages()
        self.lanes = {row["event_id"]: row["lane"] for row in database.rows("select event_id, lane from outbox")}
        self.receipts = collections.defaultdict(list)
        for delivery in sink.snapshot():
            self.receipts[delivery.event_id].append(delivery)
        self.accepted = {
            identity: found
            for identity, all_of_it in self.receipts.items()
            if (found := [one for one in all_of_it if one.accepted])
        }
        self.owned_lanes = database.count("lane_cursors", "owner is not null")

    def violate(self, invariant, what):
        self.violations.append(f"{invariant}: {what}")

    def judge(self):
        self.violations += [f"answers: {fault}" for fault in self.load.faults]
        self.check_stored()
        self.check_messages()
        self.check_duplicates()
        self.check_order()
        self.check_successes()
        return self.violations

    def check_stored(self):
        """I1, I2, I7: what was acknowledged is there, whole, once; and nothing is there by half."""
        self.lost = self.partial = 0
        for one in self.load.acknowledged:
            stored = self.events.get(one.answer["stored_event_id"])
            wanted = (one.service, one.body, one.key)
            if stored is None or (stored["service"], stored["payload"], stored["deduplication_key"]) != wanted:
                self.lost += 1
                self.violate("I1", f"acknowledged and not there: {one.key}")
            elif one.answer["derived_events"] != [row["id"] for row in self.families[stored["id"]]]:
                self.partial += 1
                self.violate("I2", f"not the family that was acknowledged: {one.key}")
        bases = [row for row in self.events.values() if not row["source_event_id"]]
        keys = collections.Counter(row["deduplication_key"] for row in bases)
        for key, times in keys.items():
            if times > 1:
                self.violate("I7", f"{times} events of the key {key}")
        for key in set(keys) - {one.key for one in self.load.acknowledged}:
            self.violate("I1", f"stored, but never acknowledged in the end: {key}")
        for base in bases:
            expected = oracle.expect(base["service"], base["payload"])
            found = [(row["service"], row["payload"], row["deduplication_key"]) for row in self.families[base["id"]]]
            if base["normalized_payload"] != expected.normalized or found != [
                (one.service, one.payload, one.key) for one in expected.derived
            ]:
                self.partial += 1
                self.violate("I2", f"not what the rules make of it: {base['deduplication_key']}")
        for orphan in set(self.families) - {row["id"] for row in bases}:
            self.partial += 1
            self.violate("I2", f"derived events without their base: {orphan}")

    def check_followed(self, ids):
        """Whoever follows /events/stream and comes back after every fault sees all that was stored, in order and once."""
        stored = sorted(self.events)
        if ids == stored:
            return
        times = collections.Counter(ids)
        missing = [one for one in stored if one not in times]
        repeated = [one for one, count in times.items() if count > 1]
        self.violate("stream", f"{len(missing)} events missing, {len(repeated)} seen again, in order: {ids == sorted(ids)}")

    def check_messages(self):
        """I2, I3, I4: a message for every derived event, received or dead; dead are exactly those that had to be."""
        derived = {row["id"]: row for row in self.events.values() if row["source_event_id"]}
        if collections.Counter(row["event_id"] for row in self.messages) != collections.Counter(list(derived)):
            self.partial += 1
            self.violate("I2", "messages and derived events differ")
        for row in self.messages:
            event = derived.get(row["event_id"])
            if event is None:
                continue
            is_doomed = event["payload"].get("location") == doomed
            if (row["topic"], row["payload"]) != ("event." + event["service"], event["payload"]):
                self.violate("I2", f"not the message of its event: {row['event_id']}")
            if row["status"] != ("failed" if is_doomed else "sent"):
                self.violate("I4" if is_doomed else "I3", f"{row['status']}: {row['event_id']} {row['last_error']}")
            if not is_doomed and row["event_id"] not in self.accepted:
                self.lost += 1
                self.violate("I3", f"never received: {row['event_id']}")
        for identity in set(self.receipts) - set(derived):
            self.violate("I1", f"delivered, but not stored: {identity}")
        if self.owned_lanes:
            self.violate("I3", f"{self.owned_lanes} lanes were not given back by workers that stopped")

    def check_duplicates(self):
        """I5: only what was in flight when something was done to worker or database is sent twice, and as it was."""
        self.duplicates = self.unexplained = 0
        for identity, found in self.accepted.items():
            self.duplicates += len(found) - 1
            for first, second in zip(found, found[1:]):
                if (first.body, first.headers.get("webhook-id")) != (second.body, second.headers.get("webhook-id")):
                    self.violate("I5", f"not the same the second time: {identity}")
                if not any(self.explains(fault, first, second) for fault in self.faults):
                    self.unexplained += 1
                    self.violate("I5", f"sent twice without a reason: {identity}, {self.describe(first, second)}")
        firsts = sorted(found[0].time for found in self.accepted.values())
        spans = [(fault.start - unrecorded_seconds, fault.end) for fault in self.faults if fault.kind != "api"]
        self.in_flight = sum(any(start < time < end for start, end in spans) for time in firsts)
        calm = [found for found in self.accepted.values() if found[0].time < self.calm_until and len(found) > 1]
        if calm:
            self.violate("I5", f"{len(calm)} messages were sent twice while nothing was wrong")

    def explains(self, fault, first, second):
        in_flight = fault.start - unrecorded_seconds < first.time < fault.end
        return fault.kind != "api" and in_flight and second.time > fault.start

    def describe(self, first, second):
        start = self.faults[0].start if self.faults else 0.0
        faults = [(fault.kind, round(fault.start - start, 2), round(fault.end - start, 2)) for fault in self.faults]
        return f"at {first.time - start:.2f} and {second.time - start:.2f}, faults {faults}"

    def check_order(self):
        """I6: first receipts of a key come in the order of its acknowledgements. One client thread owns a key."""
        wanted = collections.defaultdict(list)
        for one in sorted(self.load.acknowledged, key=lambda found: found.order):
            for row in self.families[one.answer["stored_event_id"]]:
                if row["id"] in self.accepted:
                    wanted[row["deduplication_key"]].append(self.accepted[row["id"]][0].time)
        self.keys = len(wanted)
        for key, times in wanted.items():
            if times != sorted(times):
                self.violate("I6", f"out of order: {key}")

    def check_successes(self):
        """I11: a run in which everything failed would prove nothing."""
        outside = [
            succeeded
            for time, succeeded in self.load.tries
            if not any(fault.start - 0.5 < time < fault.end + 0.5 for fault in self.faults)
        ]
        self.success_share = sum(outside) / max(len(outside), 1)
        if self.success_share < successes_share or len(outside) < 50:
            self.violate("I11", f"{self.success_share:.1%} of {len(outside)} requests outside of the outages succeeded")

    def lanes_healed(self, fault):
        """Seconds until every lane that had something to deliver moved again after the fault."""
        receipts = collections.defaultdict(list)
        for identity, found in self.accepted.items():
            receipts[self.lanes[identity]].append(found[0].time)
        # What was on its way to the sink at that moment does not count as moving.
        after = [[time for time in times if time > fault.start + 0.2] for times in receipts.values()]
        return max(min(times) - fault.start for times in after if times)

    def throughput_back(self, fault, baseline):
        """Seconds from `back` of the fault until acknowledgements and deliveries run at the old rate, for two seconds."""
        acknowledged = [one.time for one in self.load.acknowledged]
        received = [found[0].time for found in self.accepted.values()]
        step, window = 0.25, 2.0
        for n in range(int(60 / step)):
            start = fault.back + n * step
            if all(
                sum(start <= time < start + window for time in times) >= throughput_share * rate * window
                for times, rate in ((acknowledged, baseline[0]), (received, baseline[1]))
            ):
                return n * step
        return float("inf")

    def rates(self, start, end):
        """Acknowledged events and received messages a second."""
        acknowledged = sum(start <= one.time < end for one in self.load.acknowledged)
        received = sum(start <= found[0].time < end for found in self.accepted.values())
        return acknowledged / (end - start), received / (end - start)
