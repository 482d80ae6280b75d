// SPDX-License-Identifier: GPL-3.0-or-later
// The door where exceptions of a thread's work end: memory that is not had, and what libraries throw.
#pragma once

#include <exception>
#include <new>
#include <string>

#include "config/base/result.h"

namespace cairn {

// What `work` returns (a Result), or its exception as an error of doing `doing` to `object`.
template <class Work>
auto without_exceptions(const char* doing, const std::string& object, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::out_of_memory, doing, object);
  } catch (const std::exception& problem) {
    return fail(ErrorCode::internal, doing, object, problem.what());
  }
}

}  // namespace cairn
