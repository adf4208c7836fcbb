using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Apvirt.Ap.Profiles;
using Apvirt.Cli.Rendering;
using Apvirt.Host.Arguments;
using Apvirt.Host.Checks;
using Apvirt.Host.Traces;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Validation;

namespace Apvirt.Cli.Commands;

/// <summary><c>apvirt locks</c>: what the lock validator learns from traces.</summary>
internal static class LocksCommand
{
    internal static Command Create(CommandIo io)
    {
        Argument<string[]> paths = new("TRACE|DIR") { Description = "Traces, or directories of *.jsonl files; with --argument there need be none.", Arity = ArgumentArity.ZeroOrMore };
        Option<bool> json = new("--json") { Description = "Classes, orders and statistics as one JSON object." };
        Option<bool> dot = new("--dot") { Description = "The graph of lock classes for Graphviz, without the orders that follow from others." };
        Option<bool> all = new("--all") { Description = "With --dot: every order, also those that follow from others, or are declared and did not occur." };
        Option<bool> argument = new("--argument") { Description = "The argument that no number of guests, queues and administrators deadlocks: what is checked, what follows, what is assumed. Exit status 1 if it is broken." };
        Option<string> profile = CheckOptions.ProfileName();
        profile.DefaultValueFactory = _ => Profile.Strict.Name;
        profile.Description = "With --argument: whose quirks apply.";
        Command command = new("locks", "Run traces with the lock validator and show the order of locks: observed, declared, never exercised.") { paths, json, dot, all, argument, profile };
        command.Validators.Add(result =>
        {
            if (!result.GetValue(argument) && result.GetValue(paths) is not { Length: > 0 })
                result.AddError("locks: expected traces, or directories of them; or --argument");
        });
        command.SetAction(parsed => parsed.GetValue(argument)
            ? Argue(parsed.GetValue(paths)!, Profile.Find(parsed.GetValue(profile)!)!, parsed.GetValue(json), io)
            : Run(parsed.GetValue(paths)!, parsed.GetValue(json), parsed.GetValue(dot), parsed.GetValue(all), io));
        return command;
    }

    private static int Run(string[] paths, bool json, bool dot, bool all, CommandIo io)
    {
        if (!InputFile.TryFindTraces(paths, io, out List<string> files))
            return ExitCodes.BadInput;
        KernelChecks checks = new(LockOrder.Declared);
        foreach (string file in files)
        {
            if (!InputFile.TryRead(file, io, out byte[] text))
                return ExitCodes.BadInput;
            if (TraceReplay.Run(file, text, checks: checks).Error is not { } error)
                continue;
            io.Error.WriteLine(error);
            return ExitCodes.BadInput;
        }
        LockStatistics statistics = checks.Locks.Statistics();
        LockReport[] reports = [.. checks.Violations.ToArray().Select(v => v.Locks).OfType<LockReport>()];
        if (dot)
            io.Out.Write(LockGraphDot.Format(statistics, reports, isReduced: !all));
        else if (json)
            io.Out.WriteLine(LockReportJson.Of(statistics).ToJsonString(new JsonSerializerOptions(JsonText.Options)));
        else
            Write(statistics, io);
        foreach (LockReport report in dot || json ? [] : reports)
            io.Out.WriteLine(LockReportText.Format(report));
        return reports.Length > 0 ? ExitCodes.Differences : ExitCodes.Ok;
    }

    private static int Argue(string[] paths, Profile profile, bool json, CommandIo io)
    {
        List<string> files = [];
        if (paths.Length > 0 && !InputFile.TryFindTraces(paths, io, out files))
            return ExitCodes.BadInput;
        ArgumentCorpus corpus = new(profile);
        using (Progress progress = new(io, "recording", ArgumentCorpus.UsualEpisodes + files.Count))
        {
            for (int episode = 0; episode < ArgumentCorpus.UsualEpisodes; episode++, progress.Step())
                corpus.AddRandom(episode);
            foreach (string file in files)
            {
                if (!InputFile.TryRead(file, io, out byte[] text))
                    return ExitCodes.BadInput;
                if (corpus.AddTrace(file, text) is { } error)
                {
                    io.Error.WriteLine(error);
                    return ExitCodes.BadInput;
                }
                progress.Step();
            }
        }
        IReadOnlyList<ArgumentStatement> statements = DeadlockArgument.Of(corpus);
        bool holds = statements.All(statement => statement.Broken.Count == 0);
        io.Out.WriteLine(json
            ? JsonSerializer.Serialize(new { Profile = profile.Name, Holds = holds, Statements = statements.Select(s => new { s.Claim, Ground = s.Ground.ToString().ToLowerInvariant(), s.Evidence, s.Broken }), corpus.Entries, corpus.Missing }, JsonText.Options)
            : ArgumentText.Format(statements, profile).TrimEnd());
        return holds ? ExitCodes.Ok : ExitCodes.Differences;
    }

    private static void Write(LockStatistics statistics, CommandIo io)
    {
        Table orders = new("HELD", "TAKEN", "KIND", "FIRST SEEN", "DECLARED");
        foreach (LockOrderStatistics order in statistics.Orders.Where(order => order.IsObserved))
            orders.Add(order.Outer, order.Inner, order.Types, order.First!.Taken.Site.ToString(), order.Declared ?? "-");
        orders.Write(io.Out);
        if (statistics.NeverExercised.Count > 0)
        {
            Table missing = new("DECLARED", "NEVER EXERCISED", "WHERE");
            foreach (LockOrderStatistics order in statistics.NeverExercised)
                missing.Add(order.Outer, order.Inner, order.Declared!);
            missing.Write(io.Out);
        }
        double hits = statistics.Acquisitions == 0 ? 0 : 100.0 * (statistics.Acquisitions - statistics.Misses) / statistics.Acquisitions;
        io.Out.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"{statistics.Classes.Count} classes, {statistics.Orders.Count(o => o.IsObserved)} orders observed, {statistics.DeclaredCount} declared, {statistics.Chains} chains, {statistics.Acquisitions} acquisitions, {hits:F2} % found in the cache, at most {statistics.Deepest} held"));
    }
}
