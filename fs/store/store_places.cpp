// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store_places.h"

#include "config/base/result.h"

namespace cairn {

StorePlaces places_of(const BackendPlace& objects) {
  switch (objects.kind) {
    case BackendPlace::Kind::local:
      return {objects, objects.path, objects.path / "index", objects.path / "index.new"};
  }
  broken_promise("places_of knows every kind of place", __FILE__, __LINE__);
}

}  // namespace cairn
