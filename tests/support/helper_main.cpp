// SPDX-License-Identifier: GPL-3.0-or-later
// The main of test programs whose code runs this very program again as a helper (crypto/helper_process.h).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/volume/helpers.h"

int main(int argc, char** argv) {
  cairn::serve_as_helper(argc, argv);
  ::testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
