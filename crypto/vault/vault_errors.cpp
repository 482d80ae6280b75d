// SPDX-License-Identifier: GPL-3.0-or-later
#include "crypto/vault/vault_errors.h"

#include <fmt/core.h>

namespace cairn {
namespace {

std::unexpected<Error> missing(ErrorCode code, const std::string& what, const std::string& vault,
                               const std::string& name, std::span<const std::string> there) {
  const auto nearest = nearest_name(name, there);
  return fail(
      code, "find " + what, vault + "/" + name, fmt::format("the vault has no {} of that name", what),
      nearest ? fmt::format("did you mean {}/{}? See \"cairn key list --vault {}\"", vault, *nearest, vault) : "");
}

}  // namespace

std::unexpected<Error> no_such_kek(const std::string& vault, const std::string& kek,
                                   std::span<const std::string> there) {
  return missing(ErrorCode::kek_missing, "key", vault, kek, there);
}

std::unexpected<Error> no_such_kek(const std::string& vault, const std::string& kek, std::span<const KekFacts> there) {
  std::vector<std::string> names;
  for (const KekFacts& known : there) names.push_back(known.name);
  return no_such_kek(vault, kek, names);
}

std::unexpected<Error> no_such_kek_version(const std::string& vault, const KekFacts& kek, const std::string& version) {
  std::string known;
  for (const VersionFacts& facts : kek.versions) known += (known.empty() ? "" : ", ") + facts.version;
  return fail(ErrorCode::kek_missing, "find key", vault + "/" + kek.name,
              fmt::format("it has no version {}, only {}", version, known));
}

std::unexpected<Error> no_such_secret(const std::string& vault, const std::string& secret,
                                      std::span<const std::string> there) {
  return missing(ErrorCode::secret_missing, "secret", vault, secret, there);
}

}  // namespace cairn
