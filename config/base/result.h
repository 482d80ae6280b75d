// SPDX-License-Identifier: GPL-3.0-or-later
// Result<T>: a value, or the Error that says why there is none. The one channel for expected failures: I/O, damage, a
// wrong key, bad input. A broken promise of our own code is no Error: CAIRN_ASSERT ends the process. Any thread.
//
//   Result<Header> read_header(const std::string& path) {
//     CAIRN_TRY(const UniqueFd fd, open_file(path));       // the value, or return its error
//     CAIRN_CHECK(check_owner(fd.get()));                  // the same for Result<void>
//     if (size_of(fd) < kHeaderBytes) return fail(ErrorCode::header_damaged, "read header", path, "it is cut off");
//     return parse(fd);
//   }
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "config/base/error.h"

namespace cairn {

template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

// A failure of our own finding: "cannot DOING OBJECT: BECAUSE; RESOLUTION". Without a resolution the catalogue's hint
// ends the message.
//   return fail(ErrorCode::wrong_key, "unlock store", path, "no key slot opens with this key file");
inline std::unexpected<Error> fail(ErrorCode code, std::string doing, std::string object, std::string because = {},
                                   std::string resolution = {}) {
  return std::unexpected(
      Error{code, std::move(doing), std::move(object), std::move(because), 0, std::move(resolution)});
}
// For a failed system call: keeps the errno; ENOSPC, EACCES and their like get their own code instead of `code`.
inline std::unexpected<Error> fail_errno(int sys_errno, std::string doing, std::string object,
                                         ErrorCode code = ErrorCode::io_error, std::string because = {}) {
  if (code == ErrorCode::io_error) code = code_of_errno(sys_errno);
  return std::unexpected(Error{code, std::move(doing), std::move(object), std::move(because), sys_errno, {}});
}
// Hands the error of one Result on as that of another type.
inline std::unexpected<Error> pass_on(Error error) {
  return std::unexpected(std::move(error));
}

// Ends the process with a message, in release builds too: a promise of our own code is broken.
[[noreturn]] void broken_promise(const char* what, const char* file, int line);

}  // namespace cairn

#define CAIRN_JOIN_(a, b) a##b
#define CAIRN_JOIN(a, b) CAIRN_JOIN_(a, b)
#define CAIRN_TRY_(result, declaration, expression)                  \
  auto result = (expression);                                        \
  if (!(result)) return ::cairn::pass_on(std::move(result).error()); \
  declaration = *std::move(result)

// CAIRN_TRY(auto disk, open_disk(path));   the value, or return the error to our caller
#define CAIRN_TRY(declaration, expression) CAIRN_TRY_(CAIRN_JOIN(try_result_, __LINE__), declaration, expression)
// CAIRN_CHECK(flush());                    for Result<void>
#define CAIRN_CHECK(expression)                                                                                    \
  do {                                                                                                             \
    if (auto check_result = (expression); !check_result) return ::cairn::pass_on(std::move(check_result).error()); \
  } while (false)
// An assertion that release builds keep.
#define CAIRN_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::cairn::broken_promise(#condition, __FILE__, __LINE__))
