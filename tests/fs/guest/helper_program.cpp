// SPDX-License-Identifier: GPL-3.0-or-later
// The guest helper alone, for the tests: the programs begin it as themselves.
#include "fs/guest/helper.h"

int main() {
  return cairn::run_guest_helper();
}
