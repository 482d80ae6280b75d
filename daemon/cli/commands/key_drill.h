// SPDX-License-Identifier: GPL-3.0-or-later
// A part of cairn verify that works as cairn key drill does. One thread at a time.
#pragma once

#include <string>

#include "config/base/result.h"

namespace cairn::cli {

class Context;

// cairn verify --proof; its answer is printed by then. `what`: empty: all points; a machine; MACHINE@POINT.
// Errors: no_such_machine, no_such_point, those of opening the store.
Result<ExitCode> verify_proofs(Context& context, const std::string& what);

}  // namespace cairn::cli
