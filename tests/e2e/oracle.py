"""The rules once more, written from the contract and not from the C++: what the tests compare the system with."""

import re

energy_threshold_kwh = 500.0

_true_words = {"1", "on", "t", "true", "y", "yes"}
_false_words = {"0", "off", "f", "false", "n", "no"}
_integer_text = re.compile(r"[+-]?\d+(_\d+)*(\.0*)?")
_number_text = re.compile(r"[+-]?(\d+(_\d+)*\.?\d*|\.\d+)([eE][+-]?\d+)?")


class NotCoercible(Exception):
    pass


def to_int(value):
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _integer_text.fullmatch(value.strip()):
        return int(value.strip().split(".")[0].replace("_", ""))
    raise NotCoercible


def to_float(value):
    if isinstance(value, (bool, int, float)):
        return float(value)
    if isinstance(value, str) and _number_text.fullmatch(value.strip()):
        return float(value.strip().replace("_", ""))
    raise NotCoercible


def to_bool(value):
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in _true_words | _false_words:
        return value.lower() in _true_words
    raise NotCoercible


def to_text(value):
    if isinstance(value, str):
        return value
    raise NotCoercible


fields = {
    "health": {"patient_id": to_int, "alert": to_text, "location": to_text},
    "energy": {"energy": to_float, "neighborhood": to_text},
    "transport": {"bus_id": to_int, "lat": to_float, "lon": to_float},
    "security": {"alert": to_bool, "camera_trigger": to_text},
}


class Derived:
    def __init__(self, service, payload, key):
        self.service, self.payload, self.key = service, payload, key

    @property
    def topic(self):
        return "event." + self.service

    @property
    def suppressible(self):
        return not self.key.endswith("_None")

    def __repr__(self):
        return f"Derived({self.service}, {self.key}, {self.payload})"


class Expected:
    def __init__(self, normalized, bad_fields, derived):
        self.normalized, self.bad_fields, self.derived = normalized, bad_fields, derived


def normalize(service, body):
    declared, bad = {}, []
    for name, coerce in fields.get(service, {}).items():
        value = body.get(name)
        try:
            declared[name] = None if value is None else coerce(value)
        except NotCoercible:
            bad.append(name)
    if bad:
        return body, bad
    return {**body, **declared}, []


def evaluate_rules(service, normalized):
    if service == "health" and normalized.get("alert") == "emergency":
        patient, location = normalized.get("patient_id"), normalized.get("location")
        key = f"health_emergency_{patient}"
        about = {"reason": "health_emergency", "location": location, "patient_id": patient}
        return [
            Derived("transport", {"action": "dispatch_nearest_vehicle", **about}, key),
            Derived("security", {"priority": "high", "action": "escort_and_clear_traffic", **about}, key),
        ]
    if service == "energy":
        energy, neighborhood = normalized.get("energy"), normalized.get("neighborhood")
        if isinstance(energy, (int, float)) and energy > energy_threshold_kwh:
            payload = {
                "alert": "possible_risk",
                "reason": "critical_energy_usage",
                "neighborhood": neighborhood,
                "energy": energy,
            }
            return [Derived("security", payload, f"critical_energy_usage_{neighborhood}")]
    return []


def expect(service, body):
    normalized, bad = normalize(service, body)
    return Expected(normalized, bad, evaluate_rules(service, normalized))


class Suppression:
    """Derived keys that are already taken. The window is longer than any test, so it is a set."""

    def __init__(self):
        self.taken = set()

    def admit(self, derived):
        if not derived.suppressible:
            return True
        identity = (derived.service, derived.key)
        if identity in self.taken:
            return False
        self.taken.add(identity)
        return True
