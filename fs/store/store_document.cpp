// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/store_document.h"

#include <sodium.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "fs/store/store_parameters.h"

namespace cairn {
namespace {
using nlohmann::json;

// What the MAC covers: the document without "mac", keys sorted, no white space (nlohmann's dump()).
std::string covered_by_mac(json document) {
  document.erase("mac");
  return json_text(document, JsonForm::compact_ascii);
}
constexpr JsonBounds kBounds{.depth = 16};
}  // namespace

std::string write_store_document(const StoreDocument& from, const KeyRing& keys) {
  json slots = json::array();
  for (const KeySlot& slot : from.slots) slots.push_back(to_json(slot));
  json document = {{"format", "cairn-store"},
                   {"version", kStoreVersion},
                   {"id", to_hex(from.id)},
                   {"created", iso_time(from.created)},
                   {"chunk_size", from.chunk_size},
                   {"algorithm", to_string(from.algorithm)},
                   {"slots", slots}};
  document["mac"] = to_hex(keys.document_mac(as_bytes(covered_by_mac(document))));
  return json_text(document, JsonForm::pretty_ascii);
}

Result<StoreDocument> read_store_document(std::string_view text, const std::string& object) {
  const auto damaged = [&](std::string because) {
    return fail(ErrorCode::store_damaged, "open store", object, std::move(because));
  };
  const auto parsed = parse_json(text, kBounds);
  if (!parsed)
    return damaged(parsed.error().kind == JsonFault::Kind::too_deep
                       ? "store.json nests deeper than any that Cairn wrote"
                       : "store.json is not JSON");
  const json& document = *parsed;
  const auto read = [&]() -> Result<StoreDocument> {
    if (!document.is_object() || document.value("format", json()) != "cairn-store")
      return fail(ErrorCode::not_a_store, "open store", object, "store.json is not that of a Cairn store");
    if (const auto version = whole_number<std::uint64_t>(document.at("version")); version != kStoreVersion)
      return fail(version > kStoreVersion ? ErrorCode::store_too_new : ErrorCode::store_damaged, "open store", object,
                  "it has format " + std::to_string(version) + ", this version knows format 1");
    StoreDocument store;
    const auto id = from_hex(document.at("id").get<std::string>());
    if (!id || id->size() != store.id.size()) return damaged("the id in store.json is not 16 bytes");
    std::memcpy(store.id.data(), id->data(), store.id.size());
    const auto created = parse_iso_time(document.at("created").get<std::string>());
    if (!created) return damaged("the creation time in store.json is not a time");
    store.created = *created;
    store.chunk_size = whole_number<std::uint32_t>(document.at("chunk_size"));
    if (!std::has_single_bit(store.chunk_size) || store.chunk_size < kMinChunkSize || store.chunk_size > kMaxChunkSize)
      return damaged("the chunk size in store.json is impossible");
    const auto algorithm = parse_seal_algorithm(document.at("algorithm").get<std::string>());
    if (!algorithm) return damaged("the algorithm in store.json is unknown");
    store.algorithm = *algorithm;
    for (const json& slot : document.at("slots")) {
      CAIRN_TRY(KeySlot taken, key_slot_from_json(slot, object));
      store.slots.push_back(std::move(taken));
    }
    store.mac = document.at("mac").get<std::string>();
    return store;
  };
  return read_document(read, [&](const std::string& because) { return damaged("store.json: " + because); });
}

Result<void> check_store_document(std::string_view text, const StoreDocument& document, const KeyRing& keys,
                                  const std::string& object) {
  const Buffer expected =
      keys.document_mac(as_bytes(covered_by_mac(parse_json(text, kBounds).value_or(json::object()))));
  const auto stored = from_hex(document.mac);
  if (!stored || stored->size() != expected.size() ||
      sodium_memcmp(stored->data(), expected.data(), expected.size()) != 0)
    return fail(ErrorCode::store_damaged, "open store", object, "store.json was altered since Cairn wrote it");
  return {};
}

}  // namespace cairn
