// SPDX-License-Identifier: GPL-3.0-or-later
#include "fs/store/point/key_records.h"

#include <nlohmann/json.hpp>

#include "config/base/enum_words.h"
#include "config/base/json.h"
#include "crypto/base64.h"

namespace cairn {
namespace {

using nlohmann::json;

std::unexpected<Error> damaged(const std::string& object, std::string because) {
  return fail(ErrorCode::point_damaged, "read recovery point", object, std::move(because));
}

std::optional<UtcTime> optional_time(const json& document, const char* key) {
  const auto found = document.find(key);
  if (found == document.end() || found->is_null()) return std::nullopt;
  return parse_iso_time(found->get<std::string>());
}

constexpr EnumWords<ProofState, 3> kProofStates{
    {{ProofState::unproved, "unproved"}, {ProofState::proved, "proved"}, {ProofState::not_encrypted, "not-encrypted"}}};

}  // namespace

std::string_view to_string(ProofState state) {
  return word_of(kProofStates, state);
}
std::optional<ProofState> parse_proof_state(std::string_view text) {
  return value_of_word(kProofStates, text);
}

const VolumeProof* Proof::volume(std::string_view disk, unsigned partition) const {
  for (const VolumeProof& candidate : volumes)
    if (candidate.disk == disk && candidate.partition == partition) return &candidate;
  return nullptr;
}

json to_json(const BekRecord& record, KeyMaterial material) {
  json bek = to_json(record.bek);
  if (material == KeyMaterial::without) bek.erase("wrapped");
  json document{{"vault", record.vault}, {"secret", record.secret}, {"version", record.version}, {"bek", bek}};
  if (material == KeyMaterial::with && !record.escrowed.empty())
    document["escrowed_base64"] = to_base64(record.escrowed);
  return document;
}

json to_json(const KekRecord& record, KeyMaterial material) {
  const KekBackup& backup = record.backup;
  json document{{"vault", record.vault},
                {"kek", backup.name},
                {"version", backup.version},
                {"type", backup.type},
                {"created", backup.created ? json(iso_time(*backup.created)) : json(nullptr)},
                {"portable", backup.portable}};
  if (material == KeyMaterial::with) document["sealed_base64"] = to_base64(backup.sealed);
  return document;
}

json to_json(const Proof& proof) {
  json volumes = json::array();
  for (const VolumeProof& volume : proof.volumes)
    volumes.push_back({{"disk", volume.disk},
                       {"partition", volume.partition},
                       {"proved", volume.proved},
                       {"reason", volume.reason},
                       {"secret", volume.secret},
                       {"secret_version", volume.secret_version},
                       {"kek", volume.kek},
                       {"kek_version", volume.kek_version},
                       {"slot", volume.slot},
                       {"fingerprint", volume.fingerprint}});
  return {{"state", to_string(proof.state)},
          {"reason", proof.reason},
          {"time", proof.time ? json(iso_time(*proof.time)) : json(nullptr)},
          {"volumes", volumes}};
}

Result<BekRecord> bek_record_from(const json& document, const std::string& object) {
  BekRecord record;
  record.vault = document.at("vault").get<std::string>();
  record.secret = document.at("secret").get<std::string>();
  record.version = document.at("version").get<std::string>();
  auto bek = wrapped_bek_from_json(document.at("bek"), object);
  if (!bek) return damaged(object, bek.error().because);
  record.bek = *std::move(bek);
  if (document.contains("escrowed_base64")) {
    auto bytes = from_base64(document.at("escrowed_base64").get<std::string>());
    if (!bytes) return damaged(object, "a BEK in escrow is not base64");
    record.escrowed = *std::move(bytes);
  }
  return record;
}

Result<KekRecord> kek_record_from(const json& document, const std::string& object) {
  KekRecord record;
  record.vault = document.at("vault").get<std::string>();
  record.backup.name = document.at("kek").get<std::string>();
  record.backup.version = document.at("version").get<std::string>();
  record.backup.type = document.at("type").get<std::string>();
  record.backup.created = optional_time(document, "created");
  record.backup.portable = document.at("portable").get<bool>();
  auto sealed = from_base64(document.at("sealed_base64").get<std::string>());
  if (!sealed) return damaged(object, "a KEK's backup is not base64");
  record.backup.sealed = *std::move(sealed);
  return record;
}

Result<Proof> proof_from(const json& document, const std::string& object) {
  Proof proof;
  const auto state = parse_proof_state(document.at("state").get<std::string>());
  if (!state) return damaged(object, "its proof has an unknown state");
  proof.state = *state;
  proof.reason = document.at("reason").get<std::string>();
  proof.time = optional_time(document, "time");
  if (!document.contains("volumes")) return proof;  // points of before there were key vaults
  for (const json& row : document.at("volumes")) {
    VolumeProof volume;
    volume.disk = row.at("disk").get<std::string>();
    volume.partition = whole_number<unsigned>(row.at("partition"));
    volume.proved = row.at("proved").get<bool>();
    volume.reason = row.at("reason").get<std::string>();
    volume.secret = row.at("secret").get<std::string>();
    volume.secret_version = row.at("secret_version").get<std::string>();
    volume.kek = row.at("kek").get<std::string>();
    volume.kek_version = row.at("kek_version").get<std::string>();
    volume.slot = whole_number<int>(row.at("slot"));
    volume.fingerprint = row.at("fingerprint").get<std::string>();
    proof.volumes.push_back(std::move(volume));
  }
  return proof;
}

}  // namespace cairn
