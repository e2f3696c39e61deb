#pragma once

namespace infra {

// To be called first in main(), before any thread: SIGINT and SIGTERM are blocked everywhere, SIGPIPE is
// ignored.
void block_stop_signals();

// Waits for SIGINT or SIGTERM; from then on a second one ends the process at once.
void wait_for_stop_signal();

}  // namespace infra
