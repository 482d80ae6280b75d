// SPDX-License-Identifier: GPL-3.0-or-later
// Opening backends: the one place that knows which Backend belongs to which kind of place. A new kind is one more class
// behind this function. Any thread.
#pragma once

#include <memory>

#include "config/backend_place.h"
#include "fs/io/backend.h"

namespace cairn {

// Never null. Touches nothing yet: what is not there shows at the first call.
std::shared_ptr<Backend> open_backend(const BackendPlace& place);

}  // namespace cairn
