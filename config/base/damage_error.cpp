// SPDX-License-Identifier: GPL-3.0-or-later
#include "config/base/damage_error.h"

namespace cairn {

bool is_damage_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::object_missing:
    case ErrorCode::pack_damaged:
    case ErrorCode::chunk_damaged:
    case ErrorCode::chunk_missing:
    case ErrorCode::map_damaged:
    case ErrorCode::point_damaged:
    case ErrorCode::point_missing:
    case ErrorCode::store_damaged:
    case ErrorCode::store_too_new:  // of a file in a store that we opened: its version was altered
    case ErrorCode::not_a_store:
      return true;
    default:
      return false;
  }
}

}  // namespace cairn
