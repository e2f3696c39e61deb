#pragma once

namespace infra {

// To be called first in main(), before any thread: SIGINT and SIGTERM are blocked everywhere, SIGPIPE is
// ignored.
void block_stop_signals();

// Waits for SIGINT or SIGTERM; from then on a second one ends the process at once.
void wait_for_stop_signal();

// The same for an event loop: a descriptor (signalfd) that can be read once SIGINT or SIGTERM has come; -1
// with errno when there is none to have.
int open_stop_signals();
// Takes the signal from that descriptor. False when there was none; else a second one ends the process at
// once.
bool take_stop_signal(int fd);

}  // namespace infra
