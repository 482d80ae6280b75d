// SPDX-License-Identifier: GPL-3.0-or-later
// A part of cairn restore with a document of its own: a header onto the disk that it belongs to. One thread at a time.
#pragma once

#include <string>

#include "config/base/result.h"

namespace cairn::cli {

class Context;

struct HeaderRestore {
  std::string point;   // MACHINE@POINT
  std::string disk;    // empty: the only one with headers
  std::string device;  // what is written to
  bool force = false;  // also when another volume's header is there
  bool yes = false;    // do not ask
};
// cairn restore --header-only --in-place DEVICE; its answer is printed by then. Errors: used_wrongly, cancelled, those
// of restore_header_in_place.
Result<ExitCode> restore_header_onto(Context& context, const HeaderRestore& what);

}  // namespace cairn::cli
