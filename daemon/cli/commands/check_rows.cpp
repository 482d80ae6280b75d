// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/commands/check_rows.h"

#include <nlohmann/json.hpp>

#include "config/base/enum_words.h"
#include "daemon/cli/text/documents.h"
#include "daemon/queue/job_record.h"

namespace cairn::cli {
namespace {

constexpr EnumWords<Verdict, 4> kVerdicts{
    {{Verdict::ok, "ok"}, {Verdict::note, "note"}, {Verdict::warning, "warning"}, {Verdict::error, "error"}}};

nlohmann::json check_row(const char* check, const std::string& object, Verdict verdict, const std::string& detail,
                         nlohmann::json error) {
  return {{"check", check},
          {"object", object},
          {"state", word_of(kVerdicts, verdict)},
          {"detail", detail},
          {"error", std::move(error)}};
}

}  // namespace

nlohmann::json good(const char* check, const std::string& object, const std::string& detail) {
  return check_row(check, object, Verdict::ok, detail, nullptr);
}

nlohmann::json remark(const char* check, const std::string& object, const std::string& detail) {
  return check_row(check, object, Verdict::note, detail, nullptr);
}

nlohmann::json doubtful(const char* check, const std::string& object, const std::string& detail) {
  return check_row(check, object, Verdict::warning, detail, nullptr);
}

nlohmann::json doubtful(const char* check, const std::string& object, const Error& error) {
  return check_row(check, object, Verdict::warning, error.message(), error_document(error));
}

nlohmann::json bad(const char* check, const std::string& object, const Error& error) {
  return check_row(check, object, Verdict::error, error.message(), error_document(error));
}

bool found_in(const nlohmann::json& check, Verdict verdict) {
  return value_of_word(kVerdicts, text_of(check, "state")) == verdict;
}

}  // namespace cairn::cli
