"""The events of load/writer.cpp as Kafka messages: the service in a header, the dedupe key as message id."""

services = ("health", "energy", "transport", "security")


def body(service, n, i):
    if service == "health":
        return f'{{"patient_id":{n},"alert":"emergency","location":"ward {i % 97}"}}'
    if service == "energy":
        return f'{{"energy":{501 + i % 400}.5,"neighborhood":"district {n}"}}'
    if service == "transport":
        return f'{{"bus_id":{n},"lat":41.38{i % 1000},"lon":2.17{i % 1000}}}'
    return f'{{"alert":true,"camera_trigger":"camera {n}"}}'


def messages(count):
    """(key, value, headers) of each."""
    for i in range(count):
        service = services[i % len(services)]
        headers = [("service", service)]
        if i // len(services) % 2 == 0:
            headers.append(("message-id", f"request-{i}"))
        yield str(i), body(service, i, i), headers
