// SPDX-License-Identifier: GPL-3.0-or-later
// The grammar of all commands but those of keys.
#include "daemon/cli/grammar/grammar.h"

#include <algorithm>

#include "config/base/units.h"
#include "daemon/api/api_requests.h"
#include "daemon/cli/text/key_label.h"

namespace cairn::cli {
namespace {

using Kind = Completion::Kind;

Result<Command> finish_store_init(const Grammar& grammar) {
  StoreInitCommand command = grammar.store_init;
  if (grammar.store_init_label->count() != 0) CAIRN_CHECK(check_key_label("make store", command.label));
  if (!grammar.chunk_size.empty()) {
    command.chunk_size = parse_size(grammar.chunk_size);
    if (!command.chunk_size)
      return misuse("make store", "\"" + grammar.chunk_size + "\" is no size",
                    "give --chunk-size as a power of two from 64KiB to 4MiB");
  }
  return command;
}

Result<Command> finish_keys_add(const Grammar& grammar) {
  KeysAddCommand command = grammar.keys_add;
  const int kinds = (grammar.key_file.empty() ? 0 : 1) + (grammar.passphrase_file.empty() ? 0 : 1) +
                    (grammar.passphrase ? 1 : 0) + (grammar.recovery ? 1 : 0);
  if (kinds != 1)
    return misuse("add key", kinds == 0 ? "no key is named" : "more than one key is named",
                  "give one of --key-file FILE, --passphrase-file FILE, --passphrase, --recovery");
  using From = KeysAddCommand::From;
  if (!grammar.key_file.empty()) command.from = From::key_file, command.file = grammar.key_file;
  if (!grammar.passphrase_file.empty()) command.from = From::passphrase_file, command.file = grammar.passphrase_file;
  if (grammar.passphrase) command.from = From::terminal;
  if (grammar.recovery) command.from = From::recovery;
  if (!command.recovery_key_out.empty() && !grammar.recovery)
    return misuse("add key", "--recovery-key-out goes with --recovery only");
  if (grammar.recovery && command.recovery_key_out.empty()) command.recovery_key_out = "-";
  if (grammar.keys_add_label->count() != 0) CAIRN_CHECK(check_key_label("add key", command.label));
  return command;
}

Result<Command> finish_backup(const Grammar& grammar) {
  if (grammar.backup.all && !grammar.backup.machines.empty())
    return misuse("start backup", "both --all and the machine " + grammar.backup.machines.front() + " are given",
                  "give machines or --all");
  if (!grammar.backup.all && grammar.backup.machines.empty())
    return misuse("start backup", "no machine is named", "give machines, or --all for every machine of the settings");
  return grammar.backup;
}

Result<Command> finish_restore(const Grammar& grammar) {
  const RestoreCommand& restore = grammar.restore;
  if (restore.point.empty()) return missing("restore", "MACHINE@POINT");
  if (restore.salvage && restore.header_only)
    return misuse("restore", "--salvage goes with whole disks only: a header with holes opens nothing",
                  "leave it out, and take the header of another recovery point when this one's is damaged");
  if (!restore.in_place.empty() && !restore.header_only)
    return misuse("restore", "--in-place goes with --header-only only: whole disks are restored to files",
                  "give --to DIR, or add --header-only");
  if (!restore.in_place.empty() && !restore.to.empty())
    return misuse("restore", "both --to and --in-place are given", "give one of them");
  if (restore.to.empty() && restore.in_place.empty())
    return missing("restore", restore.header_only ? "--to DIR or --in-place DEVICE" : "--to DIR");
  return restore;
}

Result<Command> finish_jobs(const Grammar& grammar) {
  JobsCommand command = grammar.jobs;
  if (grammar.limit.empty()) return command;
  CAIRN_TRY(command.limit, parse_limit(grammar.limit, kMaxJobsListed, "list jobs"));
  return command;
}

}  // namespace

std::unexpected<Error> misuse(std::string doing, std::string because, std::string resolution) {
  return fail(ErrorCode::used_wrongly, std::move(doing), {}, std::move(because), std::move(resolution));
}
Result<std::size_t> parse_limit(const std::string& text, std::size_t most, const char* doing) {
  const bool digits = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
  if (!text.empty() && digits && text.size() <= 6 && std::stoul(text) >= 1 && std::stoul(text) <= most)
    return std::stoul(text);
  return misuse(doing, "--limit \"" + text + "\" is no number from 1 to " + std::to_string(most));
}
Result<std::uint64_t> parse_rate(const std::string& text, const char* doing) {
  if (text.empty()) return std::uint64_t{0};
  const auto rate = parse_size(text);
  if (rate && *rate != 0) return *rate;
  return misuse(doing, "--rate \"" + text + "\" is no size", "give bytes a second, such as 50MiB");
}
std::unexpected<Error> missing(const std::string& command, const std::string& what) {
  return misuse("run \"cairn " + command + "\"", what + " is missing", "see \"cairn " + command + " --help\"");
}

CLI::App* Grammar::add(CLI::App& parent, const char* name, const char* description, const char* footer,
                       std::function<Result<Command>()> make) {
  CLI::App* command = parent.add_subcommand(name, description);
  command->fallthrough();
  command->footer(footer);
  command->require_subcommand(0, 1);
  if (make) finish[command] = std::move(make);
  return command;
}

Grammar::Grammar() {
  add_globals();
  add_store();
  add_points();
  add_retention();
  add_vault();
  add_key();
  add_verify();
  add_service();
}

void Grammar::add_globals() {
  app.require_subcommand(0, 1);  // so that what follows a command is never taken for another: machines have any name
  app.set_help_flag("-h,--help", "Show help and examples");
  app.add_flag("--version", version, "Show the version");
  completes[app.add_option("--config", settings_file, "Settings file (default: $CAIRN_CONFIG or /etc/cairn/cairn.yaml)")
                ->type_name("FILE")] = Kind::files;
  app.add_flag("--json", globals.json, "One JSON document on standard output, and nothing else");
  completes[app.add_option("--recovery-key", globals.recovery_key,
                           "Unlock the store with the printed recovery key in FILE (-: standard input)")
                ->type_name("FILE")] = Kind::files;
  completes[app.add_option("--store", globals.store, "A store's directory, on a host without settings")
                ->type_name("DIR")] = Kind::files;
  app.add_flag("--no-daemon", globals.no_daemon, "Do the work in this process, even when a daemon runs");
  app.footer(
      "Exit codes: 0 done, 1 failed, 2 used wrongly, 3 completed with warnings. Times are UTC.\n"
      "\n"
      "A first backup, once /etc/cairn/cairn.yaml names a store and a machine:\n"
      "  cairn store init --create-key-file --recovery-key-out -\n"
      "  cairn config check\n"
      "  cairn backup web-01\n"
      "  cairn points\n"
      "  cairn mount /mnt\n"
      "\n"
      "\"cairn COMMAND --help\" shows the options and examples of a command.");
}

void Grammar::add_store() {
  CLI::App* store = add(app, "store", "Make and look after the store", "", nullptr);
  CLI::App* init = add(*store, "init", "Create the store named in the settings",
                       "Examples:\n"
                       "  cairn store init --create-key-file --recovery-key-out /root/recovery-key.txt\n"
                       "  cairn store init --chunk-size 256KiB\n"
                       "\n"
                       "The store opens with the key that the settings name (store.key_file, store.passphrase_file or\n"
                       "store.passphrase_command). The recovery key opens it too, when that key is lost: print it and\n"
                       "keep it on paper. If anything fails, nothing half-made stays behind.",
                       [this] { return finish_store_init(*this); });
  init->add_option("--chunk-size", chunk_size, "64KiB to 4MiB, a power of two; cannot be changed later")
      ->type_name("SIZE");
  init->add_flag("--create-key-file", store_init.create_key_file, "Make store.key_file when it does not exist");
  completes[init->add_option("--recovery-key-out", store_init.recovery_key_out,
                             "Make a recovery key and write it to FILE (-: standard output)")
                ->type_name("FILE")] = Kind::files;
  store_init_label = init->add_option("--label", store_init.label, "Label of the settings' key (default: settings)")
                         ->type_name("LABEL");
  add(*store, "info", "Show the store's parameters and what is in it",
      "Examples:\n  cairn store info\n  cairn store info --json | jq .usage.stored_bytes",
      [] { return Command(StoreInfoCommand{}); });
  add(*store, "rebuild-index", "Make the index again from the packs",
      "Example:\n"
      "  cairn store rebuild-index\n"
      "\n"
      "The index is only a cache: this reads the footers of all packs. Damaged packs are named and left alone.",
      [] { return Command(RebuildIndexCommand{}); });
  add_recover(*store);
  CLI::App* keys = add(*store, "keys", "The keys that open the store", "", nullptr);
  add(*keys, "list", "List the key slots", "Example:\n  cairn store keys list",
      [] { return Command(KeysListCommand{}); });
  CLI::App* keys_add_app = add(*keys, "add", "Add a key",
                               "Examples:\n"
                               "  cairn store keys add --key-file /etc/cairn/second.key --label second\n"
                               "  cairn store keys add --passphrase --label admin\n"
                               "  cairn store keys add --recovery --recovery-key-out /root/recovery-key.txt",
                               [this] { return finish_keys_add(*this); });
  completes[keys_add_app->add_option("--key-file", key_file, "A file with at least 32 random bytes, mode 0600")
                ->type_name("FILE")] = Kind::files;
  completes[keys_add_app->add_option("--passphrase-file", passphrase_file, "A file with a passphrase, mode 0600")
                ->type_name("FILE")] = Kind::files;
  keys_add_app->add_flag("--passphrase", passphrase, "A passphrase, asked for twice on the terminal");
  keys_add_app->add_flag("--recovery", recovery, "A recovery key to print and keep on paper");
  completes[keys_add_app
                ->add_option("--recovery-key-out", keys_add.recovery_key_out,
                             "Where the recovery key goes (default -: standard output)")
                ->type_name("FILE")] = Kind::files;
  keys_add_label = keys_add_app->add_option("--label", keys_add.label, "What the key is called in \"keys list\"")
                       ->type_name("LABEL");
  CLI::App* keys_remove_app =
      add(*keys, "remove", "Remove a key",
          "Examples:\n  cairn store keys remove admin\n  cairn store keys remove 5f3a9c01 --yes\n"
          "\n"
          "The last key that can open the store cannot be removed. Copies of the store that were made earlier\n"
          "still open with the removed key.",
          [this]() -> Result<Command> {
            if (keys_remove.slot.empty()) return missing("store keys remove", "the ID or LABEL of a key");
            return keys_remove;
          });
  keys_remove_app->add_option("slot", keys_remove.slot, "Id or label, as \"keys list\" shows them")
      ->type_name("ID|LABEL");
  keys_remove_app->add_flag("--yes", keys_remove.yes, "Do not ask");
}

void Grammar::add_points() {
  CLI::App* config = add(app, "config", "The settings", "", nullptr);
  add(*config, "check", "Check settings, disks, store and mount point, without changing anything",
      "Examples:\n  cairn config check\n  cairn --config ./cairn.yaml config check --json",
      [] { return Command(ConfigCheckCommand{}); });

  CLI::App* backup_app =
      add(app, "backup", "Make a recovery point now; waits and shows progress",
          "Examples:\n"
          "  cairn backup web-01\n"
          "  cairn backup web-01 db-01\n"
          "  cairn backup --all --json\n"
          "\n"
          "Ctrl-C cancels at the next safe point. What was stored already is found again by the next "
          "run.",
          [this] { return finish_backup(*this); });
  completes[backup_app->add_option("machines", backup.machines, "Names of machines")->type_name("MACHINE")] =
      Kind::machines;
  backup_app->add_flag("--all", backup.all, "Every machine of the settings");
  backup_app->add_flag("--full-read", backup.full_read, "Read all of every disk, and check change tracking against it");

  CLI::App* points_app =
      add(app, "points", "List recovery points, or show one",
          "Examples:\n"
          "  cairn points\n"
          "  cairn points web-01\n"
          "  cairn points web-01@latest\n"
          "  cairn points --deleted\n"
          "  cairn points web-01 --json | jq -r '.[].point'",
          [this]() -> Result<Command> {
            if (points.deleted && points.what.find('@') != std::string::npos)
              return misuse("list deleted recovery points", "a single point is named", "name its machine, or none");
            return points;
          });
  points_app->add_flag("--deleted", points.deleted, "Those that are deleted and can be brought back");
  completes[points_app->add_option("machine", points.what, "A machine, or MACHINE@POINT for all about one point")
                ->type_name("MACHINE")] = Kind::machines_or_points;

  CLI::App* mount_app = add(app, "mount", "Show all recovery points as files below DIR",
                            "Examples:\n"
                            "  cairn mount /mnt\n"
                            "  cp --sparse=always /mnt/web-01/latest/disks/root.img /var/tmp/\n"
                            "  cairn umount /mnt",
                            [this]() -> Result<Command> {
                              if (mount.directory.empty()) return missing("mount", "DIR");
                              return mount;
                            });
  completes[mount_app->add_option("dir", mount.directory, "An empty directory")->type_name("DIR")] = Kind::files;
  mount_app->add_flag("--foreground", mount.foreground, "Stay in the foreground until Ctrl-C or an unmount");
  mount_app->add_flag("--allow-other", mount.allow_other, "Let other users look inside (as mount.allow_other)");

  CLI::App* umount_app = add(app, "umount", "Take down a mount of recovery points", "Example:\n  cairn umount /mnt",
                             [this]() -> Result<Command> {
                               if (umount.directory.empty()) return missing("umount", "DIR");
                               return umount;
                             });
  completes[umount_app->add_option("dir", umount.directory, "Where they are mounted")->type_name("DIR")] = Kind::files;

  CLI::App* restore_app =
      add(app, "restore", "Write the disks of a recovery point as sparse files",
          "Examples:\n"
          "  cairn restore web-01@latest --to /var/lib/libvirt/images/restored\n"
          "  cairn restore web-01@20261121T02 --disk root --to /tmp --force\n"
          "  cairn restore web-01@20261121T02 --salvage --to /srv/rescue\n"
          "\n"
          "  cairn restore web-01@latest --header-only --to /root/headers\n"
          "  cairn restore web-01@latest --disk root --header-only --in-place /dev/vg0/web-01\n"
          "\n"
          "POINT is a full name, a unique prefix of one, or \"latest\". A disk becomes DIR/DISK.img, complete or not\n"
          "at all; an existing file is replaced only with --force.\n"
          "--salvage gets a disk out of a damaged store: what cannot be read becomes zeros and is listed, byte for\n"
          "byte, and the command ends with exit code 3. \"cairn verify --repair\" first may leave less to lose.\n"
          "--header-only restores LUKS and BitLocker headers: as files, or with --in-place onto the disk they belong\n"
          "to (the whole disk, partition table included), where only the header's own bytes are written. It asks\n"
          "before; what was there is saved first.",
          [this]() { return finish_restore(*this); });
  completes[restore_app->add_option("point", restore.point, "The recovery point")->type_name("MACHINE@POINT")] =
      Kind::points;
  completes[restore_app->add_option("--to", restore.to, "An existing directory")->type_name("DIR")] = Kind::files;
  restore_app->add_option("--disk", restore.disk, "Only this disk")->type_name("NAME");
  restore_app->add_flag("--force", restore.force, "Replace existing files; a header that is not this one's too");
  restore_app->add_flag("--salvage", restore.salvage, "Zeros for what is damaged, instead of giving up");
  restore_app->add_flag("--header-only", restore.header_only, "Only the headers of the encrypted volumes");
  completes[restore_app->add_option("--in-place", restore.in_place, "Write the header of --disk onto DEVICE")
                ->type_name("DEVICE")] = Kind::files;
  restore_app->add_flag("--yes", restore.yes, "With --in-place: do not ask");
}

void Grammar::add_service() {
  add(app, "status", "Daemon, store, mount and machines at a glance; warnings first",
      "Examples:\n  cairn status\n  cairn status --json | jq -r '.warnings[]'",
      [] { return Command(StatusCommand{}); });

  CLI::App* jobs_app = add(app, "jobs", "List jobs, show one, or cancel one",
                           "Examples:\n"
                           "  cairn jobs --limit 5\n"
                           "  cairn jobs 20261121T020000Z-3f9a1c\n"
                           "  cairn jobs cancel 20261121T020000Z-3f9a1c",
                           [this] { return finish_jobs(*this); });
  jobs_app->add_option("job", jobs.id, "Show this job")->type_name("JOB-ID");
  jobs_app->add_option("--limit", limit, "How many are listed, newest first (default: 20, at most 1000)")
      ->type_name("N");
  CLI::App* cancel_app = add(*jobs_app, "cancel", "Stop a job at its next safe point",
                             "Example:\n  cairn jobs cancel 20261121T020000Z-3f9a1c", [this]() -> Result<Command> {
                               if (jobs_cancel.id.empty()) return missing("jobs cancel", "JOB-ID");
                               return jobs_cancel;
                             });
  cancel_app->add_option("job", jobs_cancel.id, "The job")->type_name("JOB-ID");

  CLI::App* explain_app =
      add(app, "explain", "Explain an error by its name, or list all errors",
          "Examples:\n  cairn explain store-locked\n  cairn explain", [this] { return Command(explain); });
  completes[explain_app->add_option("error", explain.name, "Name of an error, as in square brackets")
                ->type_name("ERROR")] = Kind::error_names;

  add(app, "version", "Show the version", "", [] { return Command(VersionCommand{}); });
  CLI::App* help_app =
      add(app, "help", "Show help and examples", "Examples:\n  cairn help restore\n  cairn help store init",
          [] { return Command(HelpCommand{}); });
  help_app->add_option("command", help_topics, "A command")->expected(0, 3)->type_name("COMMAND");
  CLI::App* complete_app = add(app, "__complete", "", "", [this] { return Command(complete); });
  complete_app->group("");  // hidden: the completion script's
  complete_app->prefix_command();
}

}  // namespace cairn::cli
