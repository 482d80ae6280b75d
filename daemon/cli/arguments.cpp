// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <memory>

#include "config/base/units.h"
#include "config/settings.h"
#include "daemon/api_requests.h"
#include "daemon/cli/key_label.h"

namespace cairn::cli {
namespace {

// The grammar: CLI11's description of all commands, with the places that its parser fills.
struct Grammar {
  CLI::App app{"Cairn backs up encrypted disks of virtual machines and gives every recovery point back as files.",
               "cairn"};
  std::string settings_file;
  GlobalOptions globals;
  bool version = false;

  std::vector<std::string> help_topics;
  StoreInitCommand store_init;
  std::string chunk_size;
  const CLI::Option* store_init_label = nullptr;
  KeysAddCommand keys_add;
  std::string key_file, passphrase_file;
  const CLI::Option* keys_add_label = nullptr;
  bool passphrase = false, recovery = false;
  KeysRemoveCommand keys_remove;
  BackupCommand backup;
  PointsCommand points;
  MountCommand mount;
  UmountCommand umount;
  RestoreCommand restore;
  JobsCommand jobs;
  std::string limit;
  JobsCancelCommand jobs_cancel;
  ExplainCommand explain;
  CompleteCommand complete;

  std::map<const CLI::App*, std::function<Result<Command>()>> finish;  // the commands that can be run
  std::map<const CLI::Option*, Completion::Kind> completes;            // what stands in a positional or an option

  Grammar();
  CLI::App* add(CLI::App& parent, const char* name, const char* description, const char* footer,
                std::function<Result<Command>()> make);
};

std::unexpected<Error> misuse(std::string doing, std::string because, std::string resolution = {}) {
  return fail(ErrorCode::used_wrongly, std::move(doing), {}, std::move(because), std::move(resolution));
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

Result<Command> finish_jobs(const Grammar& grammar) {
  JobsCommand command = grammar.jobs;
  if (grammar.limit.empty()) return command;
  const bool digits =
      std::all_of(grammar.limit.begin(), grammar.limit.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || grammar.limit.size() > 6 || std::stoul(grammar.limit) == 0 ||
      std::stoul(grammar.limit) > kMaxJobsListed)
    return misuse("list jobs",
                  "--limit \"" + grammar.limit + "\" is no number from 1 to " + std::to_string(kMaxJobsListed));
  command.limit = std::stoul(grammar.limit);
  return command;
}

Grammar::Grammar() {
  using Kind = Completion::Kind;
  app.require_subcommand(0, 1);  // so that what follows a command is never taken for another: machines have any name
  app.set_help_flag("-h,--help", "Show help and examples");
  app.add_flag("--version", version, "Show the version");
  completes[app.add_option("--config", settings_file, "Settings file (default: $CAIRN_CONFIG or /etc/cairn/cairn.yaml)")
                ->type_name("FILE")] = Kind::files;
  app.add_flag("--json", globals.json, "One JSON document on standard output, and nothing else");
  completes[app.add_option("--recovery-key", globals.recovery_key,
                           "Unlock the store with the printed recovery key in FILE (-: standard input)")
                ->type_name("FILE")] = Kind::files;
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

  CLI::App* points_app = add(app, "points", "List recovery points, or show one",
                             "Examples:\n"
                             "  cairn points\n"
                             "  cairn points web-01\n"
                             "  cairn points web-01@latest\n"
                             "  cairn points web-01 --json | jq -r '.[].point'",
                             [this] { return Command(points); });
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
          "\n"
          "POINT is a full name, a unique prefix of one, or \"latest\". A disk becomes DIR/DISK.img, complete or not\n"
          "at all; an existing file is replaced only with --force.",
          [this]() -> Result<Command> {
            if (restore.point.empty()) return missing("restore", "MACHINE@POINT");
            if (restore.to.empty()) return missing("restore", "--to DIR");
            return restore;
          });
  completes[restore_app->add_option("point", restore.point, "The recovery point")->type_name("MACHINE@POINT")] =
      Kind::points;
  completes[restore_app->add_option("--to", restore.to, "An existing directory")->type_name("DIR")] = Kind::files;
  restore_app->add_option("--disk", restore.disk, "Only this disk")->type_name("NAME");
  restore_app->add_flag("--force", restore.force, "Replace existing files");

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

// The command that the parsed words name; null: none.
CLI::App* parsed_command(CLI::App& app) {
  CLI::App* command = nullptr;
  for (CLI::App* at = &app; !at->get_subcommands().empty();) command = at = at->get_subcommands().front();
  return command;
}

std::string full_name(const CLI::App* command) {
  std::string name;
  for (; command != nullptr && command->get_parent() != nullptr; command = command->get_parent())
    name = command->get_name() + (name.empty() ? "" : " " + name);
  return name;
}

// Null: there is none.
CLI::App* subcommand(CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* command) { return command->get_name() == name; });
  return found.empty() ? nullptr : found.front();
}

std::vector<std::string> subcommand_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; }))
    if (!command->get_group().empty()) names.push_back(command->get_name());
  return names;
}

// The options that may stand after `command`: its own and those of everything above it.
std::vector<std::string> option_names(const CLI::App* command) {
  std::vector<std::string> names;
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options())
      for (const std::string& name : option->get_lnames()) {
        if (std::find(names.begin(), names.end(), "--" + name) == names.end()) names.push_back("--" + name);
      }
  }
  return names;
}

std::unexpected<Error> unknown_word(const std::string& word, const CLI::App& app, const CLI::App* command) {
  const CLI::App& at = command != nullptr ? *command : app;
  const std::string help = "cairn " + full_name(&at) + (command != nullptr ? " " : "") + "--help";
  const bool option = word.size() > 1 && word[0] == '-';
  const std::vector<std::string> names = option ? option_names(&at) : subcommand_names(at);
  const std::string bare = option ? word.substr(0, word.find('=')) : word;
  const auto nearest = nearest_name(bare, names);
  const std::string advice = nearest ? "did you mean \"" + *nearest + "\"?" : "see \"" + help + "\"";
  const std::string where = command != nullptr ? "run \"cairn " + full_name(command) + "\"" : "run cairn";
  if (option) return misuse(where, "there is no option " + bare, advice);
  if (names.empty()) return misuse(where, "one word too many: \"" + bare + "\"", "see \"" + help + "\"");
  return misuse(where, "there is no command \"" + bare + "\"", advice);
}

Result<Command> help_on(const std::vector<std::string>& topics) {
  Grammar grammar;  // a fresh one: CLI11 shows the help of what was parsed, which is "help" itself
  CLI::App* at = &grammar.app;
  std::string above;
  for (const std::string& topic : topics) {
    CLI::App* next = subcommand(*at, topic);
    if (next == nullptr) return unknown_word(topic, grammar.app, at == &grammar.app ? nullptr : at);
    above = above.empty() ? "cairn" : above + " " + at->get_name();
    at = next;
  }
  return HelpCommand{at->help(above)};
}

Result<Command> command_of(Grammar& grammar) {
  if (grammar.version) return VersionCommand{};
  CLI::App* command = parsed_command(grammar.app);
  if (command == nullptr) return misuse("run cairn", "no command is given", "\"cairn --help\" lists the commands");
  const auto make = grammar.finish.find(command);
  if (make == grammar.finish.end())
    return misuse("run \"cairn " + full_name(command) + "\"", "the rest of the command is missing",
                  "\"cairn " + full_name(command) + " --help\" lists what can follow");
  if (command->get_name() == "help") return help_on(grammar.help_topics);
  return make->second();
}

}  // namespace

Result<Arguments> parse_arguments(const std::vector<std::string>& words, const char* environment_file) {
  Grammar grammar;
  Arguments arguments;
  // The words to complete are anything at all: CLI11 must not look at them.
  if (!words.empty() && words.front() == "__complete") {
    arguments.command = CompleteCommand{{words.begin() + 1, words.end()}};
    return arguments;
  }
  try {
    grammar.app.parse(std::vector<std::string>(words.rbegin(), words.rend()));  // CLI11 wants the last word first
  } catch (const CLI::CallForHelp&) {
    const CLI::App* command = parsed_command(grammar.app);
    arguments.globals = grammar.globals;
    arguments.command = HelpCommand{grammar.app.help("")};
    if (command != nullptr) {
      const std::string above = full_name(command->get_parent());
      arguments.command = HelpCommand{command->help(above.empty() ? "cairn" : "cairn " + above)};
    }
    return arguments;
  } catch (const CLI::ParseError& error) {
    const CLI::App* command = parsed_command(grammar.app);
    const std::vector<std::string> unknown = grammar.app.remaining(true);
    if (!unknown.empty()) return unknown_word(unknown.front(), grammar.app, command);
    return misuse(command != nullptr ? "run \"cairn " + full_name(command) + "\"" : "run cairn", error.what());
  }
  CAIRN_TRY(arguments.command, command_of(grammar));
  arguments.globals = grammar.globals;
  if (!grammar.settings_file.empty())
    arguments.globals.settings_file = grammar.settings_file;
  else if (environment_file != nullptr && *environment_file != '\0')
    arguments.globals.settings_file = environment_file;
  else
    arguments.globals.settings_file = kDefaultSettingsPath;
  return arguments;
}

bool asks_for_json(const std::vector<std::string>& words) {
  const auto end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

Completion completion_of(const std::vector<std::string>& words) {
  Grammar grammar;
  Completion completion;
  if (words.empty()) return completion;
  CLI::App* command = &grammar.app;
  std::size_t positionals = 0;
  const CLI::Option* expects_value = nullptr;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (expects_value != nullptr) {
      if (expects_value->check_lname("config")) completion.settings_file = word;
      expects_value = nullptr;
    } else if (word.starts_with("-")) {
      for (const CLI::App* at = command; at != nullptr && expects_value == nullptr; at = at->get_parent()) {
        const CLI::Option* option = at->get_option_no_throw(word);
        if (option != nullptr && option->get_items_expected_max() > 0 && !option->get_type_name().empty())
          expects_value = option;
      }
      if (word.starts_with("--config=")) completion.settings_file = word.substr(9);
    } else if (CLI::App* next = subcommand(*command, word); next != nullptr && positionals == 0) {
      command = next;
    } else {
      ++positionals;
    }
  }
  const std::string& typed = words.back();
  const auto offer = [&](const std::vector<std::string>& names) {
    for (const std::string& name : names)
      if (name.starts_with(typed)) completion.words.push_back(name);
  };
  const auto kind_of = [&](const CLI::Option* option) {
    const auto kind = grammar.completes.find(option);
    return kind != grammar.completes.end() ? kind->second : Completion::Kind::none;
  };
  if (expects_value != nullptr) {
    completion.kind = kind_of(expects_value);
    return completion;
  }
  completion.kind = Completion::Kind::words;
  if (typed.starts_with("-")) {
    offer(option_names(command));
    return completion;
  }
  if (positionals == 0) offer(subcommand_names(*command));
  if (command->get_name() == "help") {
    offer(subcommand_names(grammar.app));
    return completion;
  }
  std::size_t number = 0;
  for (const CLI::Option* option : command->get_options()) {
    if (!option->get_positional()) continue;
    const bool many = option->get_expected_max() > 1;
    if ((number == positionals || many) && kind_of(option) != Completion::Kind::none) completion.kind = kind_of(option);
    ++number;
  }
  return completion;
}

std::vector<std::string> command_names() {
  Grammar grammar;
  std::vector<std::string> names;
  for (const auto& [command, make] : grammar.finish)
    if (!command->get_group().empty()) names.push_back(full_name(command));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cairn::cli
