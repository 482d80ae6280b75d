// SPDX-License-Identifier: GPL-3.0-or-later
// The outside of an HTTP request, before anybody reads what it says: whether all of it is there, and how urgent it is.
// RFC 9112. Pure. Any thread.
#pragma once

#include <cstddef>
#include <string_view>

#include "daemon/api/worker_pool.h"

namespace cairn {

// Request line and header fields together; daemon/API.md says it to users.
inline constexpr std::size_t kMaxHead = std::size_t{16} * 1024;

struct RequestShape {
  enum class State {
    incomplete,  // more must come
    whole,       // all of it is there; or its body is too large to be waited for, which its reader refuses
    refused      // it can never be whole: `status` and `because` say why
  };
  State state = State::incomplete;
  int status = 0;
  const char* because = "";
  bool wants_continue = false;  // the client waits for "100 Continue" before it sends the body
  Urgency urgency = Urgency::usual;
};

// Of what has arrived so far.
RequestShape shape_of(std::string_view received);

}  // namespace cairn
