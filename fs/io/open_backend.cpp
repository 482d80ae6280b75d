// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/io/open_backend.h"

#include "fs/io/local_backend.h"

namespace cairn {

std::shared_ptr<Backend> open_backend(const BackendPlace& place) {
  switch (place.kind) {
    case BackendPlace::Kind::local:
      return std::make_shared<LocalBackend>(place.path);
  }
  broken_promise("open_backend knows every kind of place", __FILE__, __LINE__);
}

}  // namespace cairn
