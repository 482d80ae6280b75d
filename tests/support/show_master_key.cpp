// SPDX-License-Identifier: GPL-3.0-or-later
// Prints the master key of a store as raw bytes, for the test that looks for it where it must not be.
//   show_master_key STORE.JSON KEY-FILE
#include <cstdio>
#include <fstream>
#include <sstream>

#include "crypto/key_slots.h"
#include "fs/store/store_document.h"

int main(int count, char** arguments) {
  using namespace cairn;
  if (count != 3) return 2;
  start_crypto();
  std::ifstream file(arguments[1]);
  std::ostringstream text;
  text << file.rdbuf();
  const auto document = read_store_document(text.str(), arguments[1]);
  if (!document) return 1;
  auto secret = read_key_file(arguments[2]);
  if (!secret) return 1;
  const auto key =
      open_key_slots(document->slots, {KeySlotType::key_file, *std::move(secret), arguments[2]}, arguments[1]);
  if (!key) return 1;
  return std::fwrite(key->reveal().data(), 1, key->size(), stdout) == key->size() ? 0 : 1;
}
