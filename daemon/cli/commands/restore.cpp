// SPDX-License-Identifier: GPL-3.0-or-later
// cairn restore: writes the disks of a recovery point as sparse files. Documents: daemon/API.md "Job".
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ranges>

#include "config/yaml_reader.h"
#include "daemon/cli/commands/restore_header.h"
#include "daemon/cli/grammar/command_spec.h"
#include "daemon/cli/text/table.h"
#include "daemon/cli/work/context.h"
#include "daemon/cli/work/finish_jobs.h"
#include "daemon/service/service.h"

namespace cairn::cli {
namespace {

struct RestoreCommand : RestoreFlags {
  std::string point;
  std::string to;
  std::string disk;  // empty: all
  bool header_only = false;
  std::string in_place;  // header_only: the device to write the header onto, instead of `to`
  bool yes = false;      // in_place: do not ask
};

Result<void> check(RestoreCommand& command, const GlobalOptions&) {
  if (command.salvage && command.header_only)
    return misuse("restore", "--salvage goes with whole disks only: a header with holes opens nothing",
                  "leave it out, and take the header of another recovery point when this one's is damaged");
  if (!command.in_place.empty() && !command.header_only)
    return misuse("restore", "--in-place goes with --header-only only: whole disks are restored to files",
                  "give --to DIR, or add --header-only");
  if (!command.in_place.empty() && !command.to.empty())
    return misuse("restore", "both --to and --in-place are given", "give one of them");
  if (command.to.empty() && command.in_place.empty())
    return misuse("run \"cairn restore\"",
                  std::string(command.header_only ? "--to DIR or --in-place DEVICE" : "--to DIR") + " is missing",
                  "see \"cairn restore --help\"");
  return {};
}

Result<ExitCode> run(Context& context, const RestoreCommand& command) {
  if (!command.in_place.empty())
    return restore_header_onto(context, {command.point, command.disk, command.in_place, command.force, command.yes});
  RestoreRequest request;
  static_cast<RestoreFlags&>(request) = command;
  request.point = command.point;
  // The daemon has another working directory.
  request.to = std::filesystem::absolute(command.to).lexically_normal().string();
  // Jobs are JSON, to the daemon and in the answer: another byte would become another path.
  if (!is_utf8(request.to))
    return fail(ErrorCode::used_wrongly, "restore " + printable(command.point) + " to", printable(request.to),
                "its name is not UTF-8 text", "give a directory whose whole path is UTF-8, or a link to it that is");
  if (!command.disk.empty()) request.disk = command.disk;
  request.header_only = command.header_only;
  CAIRN_TRY(Service* const service, context.service());
  CAIRN_TRY(nlohmann::json job, service->start_restore(request));
  nlohmann::json started{{"jobs", nlohmann::json::array()}};
  started["jobs"].push_back(std::move(job));
  return finish_jobs(context, started);
}

OptionSpec option_of(const RestoreFlag& of) {
  std::string name = std::string("--") + of.name;
  std::ranges::replace(name, '_', '-');
  return flag<RestoreCommand>(std::move(name), of.help, of.place);
}

}  // namespace

CommandSpec restore_command() {
  CommandSpec spec;
  spec.words = "restore";
  spec.summary = "Write the disks of a recovery point as sparse files";
  spec.examples = {"cairn restore web-01@latest --to /var/lib/libvirt/images/restored",
                   "cairn restore web-01@20261121T02 --disk root --to /tmp --force",
                   "cairn restore web-01@20261121T02 --salvage --to /srv/rescue",
                   "cairn restore web-01@latest --header-only --to /root/headers",
                   "cairn restore web-01@latest --disk root --header-only --in-place /dev/vg0/web-01"};
  spec.notes =
      "POINT is a full name, a unique prefix of one, or \"latest\". Each disk is written to DIR/DISK.img. A file is\n"
      "there only when it is complete; an existing file is replaced only with --force.\n"
      "A disk that is damaged in the store is not written, unless --salvage is given: then what cannot be read "
      "becomes\n"
      "zeros and is listed with its offsets in bytes, and the command ends with exit code 3. Run \"cairn verify\n"
      "--repair\" first: it may leave less to lose.\n"
      "--header-only restores the LUKS and BitLocker headers: to files, or with --in-place onto the disk they belong\n"
      "to (the whole disk, partition table included). There only the header's own bytes are written. The command asks\n"
      "first, and saves what was there.";
  spec.options = {
      value("point", "MACHINE@POINT", "The recovery point", &RestoreCommand::point, Completes::points).required(),
      value("--to", "DIR", "An existing directory to write to", &RestoreCommand::to, Completes::files),
      value("--disk", "NAME", "Only this disk", &RestoreCommand::disk, Completes::disk_names),
      flag("--header-only", "Only the headers of the encrypted volumes", &RestoreCommand::header_only),
      value("--in-place", "DEVICE", "Write the header of --disk onto DEVICE", &RestoreCommand::in_place,
            Completes::files),
      flag("--yes", "With --in-place: do not ask", &RestoreCommand::yes),
  };
  const auto behind_disk = std::ranges::find(spec.options, "--disk", &OptionSpec::names) + 1;
  const auto options = kRestoreFlags | std::views::transform(option_of);
  spec.options.insert(behind_disk, options.begin(), options.end());
  set_action<RestoreCommand>(spec, run, check);
  return spec;
}

}  // namespace cairn::cli
