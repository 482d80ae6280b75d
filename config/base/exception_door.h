// SPDX-License-Identifier: GPL-3.0-or-later
// Where exceptions end. Cairn's own code returns errors; exceptions are those of libraries, and memory that is not had.
// They are caught at doors only; scripts/house knows them by name and refuses `catch (` anywhere else:
//   here                            without_exceptions(): a thread's work, a step that must not end its caller
//   config/base/json.cpp            nlohmann's: parse_json(), read_document()
//   config/yaml_reader.cpp          yaml-cpp's
//   config/time_zone.cpp            those of the time zone library
//   fs/mount/operations.cpp         FUSE callbacks: nothing passes into libfuse
//   daemon/queue/job_queue_state.h  a job's end, which comes whatever happens
//   daemon/api/control_api.cpp      HTTP handlers: the exception is an answer
//   daemon/cli/grammar/parser.cpp     CLI11's, for `cairn`
//   daemon/cli/run.cpp              the end of `cairn`
//   daemon/cairnd.cpp               the end of cairnd
#pragma once

#include <exception>
#include <new>
#include <string>

#include "config/base/result.h"

namespace cairn {

// Memory for a key that may not be locked: a key that can be swapped out is no secret. It is a bad_alloc, so that doors
// of libraries understand it too.
struct NoLockedMemory : std::bad_alloc {
  [[nodiscard]] const char* what() const noexcept override { return "no locked memory for keys"; }
};

inline Error error_of_bad_alloc(const std::bad_alloc& problem, std::string doing, std::string object) {
  const bool locked = dynamic_cast<const NoLockedMemory*>(&problem) != nullptr;
  return Error{locked ? ErrorCode::memory_not_lockable : ErrorCode::out_of_memory,
               std::move(doing),
               std::move(object),
               {},
               0,
               {}};
}

// What `work` returns (a Result), or its exception as an error of doing `doing` to `object`.
template <class Work>
auto without_exceptions(const char* doing, const std::string& object, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (const std::bad_alloc& problem) {
    return pass_on(error_of_bad_alloc(problem, doing, object));
  } catch (const std::exception& problem) {
    return fail(ErrorCode::internal, doing, object, problem.what());
  } catch (...) {
    return fail(ErrorCode::internal, doing, object, "an unknown exception");
  }
}

}  // namespace cairn
