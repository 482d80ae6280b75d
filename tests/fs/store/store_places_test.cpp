// SPDX-License-Identifier: GPL-3.0-or-later
// Where the parts of a store lie: FORMAT.md promises these names.
#include "fs/store/store_places.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(StorePlaces, OfALocalStoreAreInItsDirectory) {
  const StorePlaces places = places_of(std::filesystem::path("/srv/store"));
  EXPECT_EQ(places.objects.path, "/srv/store");
  EXPECT_EQ(places.lock_folder, "/srv/store");
  EXPECT_EQ(places.index_folder, "/srv/store/index");
  EXPECT_EQ(places.new_index_folder, "/srv/store/index.new");
  EXPECT_EQ(places.name(), "/srv/store");
}

}  // namespace
}  // namespace cairn
