// SPDX-License-Identifier: GPL-3.0-or-later
// The pure part of the audit log: lines, their chain, and what a reader makes of them.
#include <sodium.h>

#include <nlohmann/json.hpp>

#include "config/base/json.h"
#include "config/base/text.h"
#include "crypto/vault/local/audit_log.h"

namespace cairn {
namespace {

using nlohmann::json;
constexpr std::size_t kMacBytes = 32;
constexpr std::size_t kMaxLine = std::size_t{16} * 1024;
constexpr std::size_t kMaxNameText = 256;
constexpr std::size_t kMaxDetailText = 512;
// A line ends with  ,"mac":"64 hex digits"}  and the MAC covers what stands before.
constexpr std::string_view kBeforeMac = ",\"mac\":\"";
constexpr std::string_view kAfterMac = "\"}";
constexpr std::size_t kTail = kBeforeMac.size() + 2 * kMacBytes + kAfterMac.size();

Buffer mac_of(ByteView before, std::string_view covered, const SecretBytes& key) {
  Buffer mac(kMacBytes);
  crypto_generichash_state state;
  crypto_generichash_init(&state, key.reveal().data(), key.size(), mac.size());
  crypto_generichash_update(&state, before.data(), before.size());
  crypto_generichash_update(&state, as_bytes(covered).data(), covered.size());
  crypto_generichash_final(&state, mac.data(), mac.size());
  sodium_memzero(&state, sizeof(state));
  return mac;
}

// At most that many bytes, cut between characters.
std::string cut(const std::string& text, std::size_t at_most) {
  if (text.size() <= at_most) return text;
  std::size_t end = at_most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return text.substr(0, end);
}

// The operation in a line that Cairn wrote: within texts quotes are escaped, so this stands in one place only.
std::string_view operation_in(std::string_view line) {
  static constexpr std::string_view kBefore = ",\"operation\":\"";
  const std::size_t at = line.find(kBefore);
  if (at == std::string_view::npos) return {};
  line.remove_prefix(at + kBefore.size());
  return line.substr(0, line.find('"'));
}

}  // namespace

bool is_change(std::string_view operation) {
  const auto right = parse_right(operation);
  if (!right) return false;
  switch (*right) {
    case Right::keys_create:
    case Right::keys_restore:
    case Right::keys_delete:
    case Right::secrets_set:
    case Right::secrets_restore:
    case Right::secrets_delete:
    case Right::policy_set:
      return true;
    default:
      return false;
  }
}

std::string write_audit_line(const AuditEntry& entry, ByteView before, const SecretBytes& key, Buffer& mac) {
  // ordered_json: readers look for the number first.
  const nlohmann::ordered_json document = {{"number", entry.number},
                                           {"time", iso_time(entry.time)},
                                           {"principal", cut(entry.principal, kMaxNameText)},
                                           {"operation", cut(entry.operation, kMaxNameText)},
                                           {"object", cut(entry.object, kMaxNameText)},
                                           {"outcome", cut(entry.outcome, kMaxNameText)},
                                           {"detail", cut(entry.detail, kMaxDetailText)},
                                           {"pid", entry.pid}};
  std::string line = json_text(document, JsonForm::compact_ascii);
  line.pop_back();
  mac = mac_of(before, line, key);
  line.append(kBeforeMac).append(to_hex(mac)).append(kAfterMac).append("\n");
  return line;
}

Result<AuditEntry> parse_audit_line(std::string_view line, const std::string& object) {
  const auto damaged = [&] {
    return fail(ErrorCode::audit_damaged, "read audit log", object, "an entry does not have the form it must have");
  };
  const json document = parse_json(line).value_or(nullptr);
  if (!document.is_object()) return damaged();
  const auto read = [&]() -> Result<AuditEntry> {
    AuditEntry entry;
    entry.number = whole_number<std::uint64_t>(document.at("number"));
    const auto time = parse_iso_time(document.at("time").get<std::string>());
    if (!time) return damaged();
    entry.time = *time;
    entry.principal = document.at("principal").get<std::string>();
    entry.operation = document.at("operation").get<std::string>();
    entry.object = document.at("object").get<std::string>();
    entry.outcome = document.at("outcome").get<std::string>();
    entry.detail = document.at("detail").get<std::string>();
    entry.pid = whole_number<long>(document.at("pid"));
    return entry;
  };
  return read_document(read, [&](const std::string&) { return damaged(); });
}

AuditReader::AuditReader(const SecretBytes& key, AuditMark mark, std::string object, AuditState from)
    : key_(key), mark_(std::move(mark)), object_(std::move(object)), state_(std::move(from)) {}

std::unexpected<Error> AuditReader::damaged(std::string because) const {
  return fail(ErrorCode::audit_damaged, "use audit log", object_, std::move(because));
}

Result<void> AuditReader::next(std::string_view line) {
  const bool is_first = state_.first == 0;
  const auto bad = [&](const char* what) {
    return damaged((is_first ? "its first entry" : "the entry after number " + std::to_string(state_.last.number)) +
                   what);
  };
  if (line.size() <= kTail || line.size() > kMaxLine || !line.ends_with(kAfterMac) ||
      line.substr(line.size() - kTail, kBeforeMac.size()) != kBeforeMac)
    return bad(" is no entry");
  const auto mac = from_hex(line.substr(line.size() - kAfterMac.size() - 2 * kMacBytes, 2 * kMacBytes));
  const Buffer expected =
      mac_of(is_first ? Buffer(kMacBytes) : state_.last.mac, line.substr(0, line.size() - kTail), key_);
  if (!mac || sodium_memcmp(mac->data(), expected.data(), expected.size()) != 0)
    return bad(" was changed, or entries before it were removed, added or moved");

  // What is chained was written by Cairn. Only the first entry, and changes after the mark, are read: the others are
  // history, and reading JSON takes four times as long as the chain.
  std::uint64_t number = state_.last.number + 1;
  const std::string_view operation = operation_in(line);
  if (is_first || (number > mark_.number && (is_change(operation) || operation == kAuditUndone))) {
    CAIRN_TRY(const AuditEntry entry, parse_audit_line(line, object_));
    if (is_first) number = entry.number;
    if (entry.number != number || number == 0) return bad(" does not have the number that follows");
    if (is_first && number != 1 && entry.operation != kAuditBegin) return damaged("its first entries are gone");
    if (is_first) state_.first = number;
    if (entry.outcome == "done" && is_change(entry.operation)) state_.last_change = number;
    if (entry.operation == kAuditUndone) state_.last_undone = number;
  }
  state_.last = {number, *mac};
  if (number == mark_.number && *mac != mark_.mac)
    return damaged("entry " + std::to_string(number) + " is not the one that the vault knows");
  return {};
}

Result<void> AuditReader::finish() const {
  if (state_.first == 0)
    return damaged("it is empty, and the vault knows of " + std::to_string(mark_.number) + " entries");
  if (state_.last.number < mark_.number)
    return damaged("it ends at entry " + std::to_string(state_.last.number) + ", and the vault knows of " +
                   std::to_string(mark_.number) + ": its end was cut off");
  return {};
}

}  // namespace cairn
