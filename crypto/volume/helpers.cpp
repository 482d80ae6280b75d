// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/volume/helpers.h"

#include <string>

#include "config/base/exception_door.h"
#include "crypto/helper_end.h"
#include "crypto/secret_bytes.h"
#include "crypto/volume/guest_file_talk.h"
#include "crypto/volume/unlock_copy.h"

namespace cairn {

void serve_as_helper(int argc, char** argv) {
  const std::string work = helper_work(argc, argv);
  if (work.empty()) {
    note_helpers_can_run();
    return;
  }
  become_helper();
  const auto done = without_exceptions("do the work of", "a helper", [&]() -> Result<void> {
    start_crypto();
    if (work == kUnlockWork)
      answer_unlock();
    else if (work == kReadFileWork)
      answer_read_file();
    else
      end_helper(1);
    return {};
  });
  end_helper(done ? 0 : 1);
}

}  // namespace cairn
