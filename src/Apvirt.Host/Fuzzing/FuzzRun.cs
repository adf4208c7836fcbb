using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Apvirt.Ap.Profiles;
using Apvirt.Host.Checks;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Host.Traces;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Kernel.Validation;

namespace Apvirt.Host.Fuzzing;

/// <summary>How a plan went.</summary>
/// <param name="Operations">Operations that ended.</param>
/// <param name="Violations">What no finding predicts.</param>
/// <param name="Digest">SHA-256 over every operation and its answer in the order in which they ended.</param>
public sealed record FuzzResult(int Operations, IReadOnlyList<Violation> Violations, string Digest);

/// <summary>Carries out a plan: several tasks at once under the simulation runtime, everything checked.</summary>
public static class FuzzRun
{
    // No operation of a plan waits so long: injected faults end, and user space lets go when it is asked.
    private static readonly TimeSpan Patience = TimeSpan.FromHours(1);

    // Removals ask every ten seconds; who has not let go by then does not listen.
    private const int MinutesToLetGo = 5;
    private const string Waiting = "{\"op\":\"guest.wait\"";

    /// <summary>Carries out a plan on a host of its own.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="checks">Checks that learn from several runs; made anew if null.</param>
    /// <param name="stopAtFirst">Whether to end at the first violation that no finding predicts.</param>
    public static FuzzResult Run(FuzzPlan plan, KernelChecks? checks = null, bool stopAtFirst = true)
    {
        checks ??= new KernelChecks(Checks.LockOrder.Declared);
        if (new TraceReader("plan", Encoding.UTF8.GetBytes(plan.Header)).ReadHeader(out TraceHeader? header) is { } error)
            throw new ArgumentException(error.ToString(), nameof(plan));
        SimulationRuntime runtime = new(plan.Chooser, plan.Seed, preemptive: true) { Checks = checks };
        KernelTask boot = runtime.CreateTask("boot");
        ValueTask<VirtualHost> booting = VirtualHost.BootAsync(boot, header!.ToSetup() with { Profile = plan.Profile });
        VirtualHost host = runtime.Drive(booting);
        using IncrementalHash digest = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        int done = 0;
        bool isStuck = false;
        bool isSequential = plan.Steps.All(step => step.Task == 0);
        bool isAlone = isSequential;
        // One caller's operations come one after another, with everything that each sets off.
        IEnumerable<FuzzStep[]> rounds = isSequential ? plan.Steps.Select(step => new[] { step }) : plan.Steps.GroupBy(step => step.Round).Select(round => round.ToArray());
        foreach (FuzzStep[] round in rounds)
        {
            List<SpawnedTask> running = [];
            foreach (IGrouping<int, FuzzStep> steps in round.GroupBy(step => step.Task))
            {
                FuzzStep[] own = [.. steps];
                running.Add(runtime.Spawn(string.Create(CultureInfo.InvariantCulture, $"task {steps.Key}"), async task =>
                {
                    foreach (FuzzStep step in own)
                    {
                        // A vCPU that waits for an interrupt waits as long as its guest lives, and would be another caller.
                        bool waits = step.Text.StartsWith(Waiting, StringComparison.Ordinal);
                        if (waits && !isSequential)
                            runtime.Spawn("vcpu", vcpu => RunStepAsync(host, vcpu, step, isAlone: false, digest));
                        else if (!waits)
                            await RunStepAsync(host, task, step, isAlone, digest);
                        done++;
                    }
                }));
            }
            runtime.Advance(TimeSpan.Zero);
            for (int waits = 0; waits < Patience.TotalMinutes && running.Exists(task => !task.IsCompleted); waits++)
            {
                runtime.Advance(TimeSpan.FromMinutes(1));
                // User space lets go in the end, even of what it was not asked for; also in a guest that a caller has started since.
                if (waits > 0 && waits % MinutesToLetGo == 0 && running.Exists(task => !task.IsCompleted))
                {
                    isAlone = false;
                    StopGuests(runtime, host);
                }
            }
            runtime.Settle(TimeSpan.FromSeconds(5));
            isAlone = isSequential;
            if (running.Exists(task => !task.IsCompleted))
            {
                StuckTasks stuck = new([.. running.Where(task => !task.IsCompleted).Select(task => new StuckTask(task.Task, task.Task.WaitsFor))]);
                checks.Violations.Add(StuckCallers.Judge(stuck, plan.Profile));
                isStuck = true;
                break;
            }
            host.Checks!.Ended(boot, Errno.Ok, writesBefore: null);
            if (stopAtFirst && checks.Violations.ToArray().Any(v => v.Finding is null))
                break;
        }
        // A host in which operations never end is at no point at rest.
        if (!isStuck)
        {
            StopGuests(runtime, host);
            host.Checks!.Ended(boot, Errno.Ok, writesBefore: null);
        }
        Violation[] violations = [.. checks.Violations.ToArray().Where(v => v.Finding is null)];
        return new FuzzResult(done, violations, Convert.ToHexStringLower(digest.GetHashAndReset()));
    }

    private static async ValueTask RunStepAsync(VirtualHost host, KernelTask task, FuzzStep step, bool isAlone, IncrementalHash digest)
    {
        using TraceLine line = OperationRunner.Parse(step.Text);
        // Alone it can be told that an error has changed nothing (I30).
        long? writes = isAlone && line.ChangesNothingOnError ? host.Checks!.Writes : null;
        (string answered, Errno error) = await OperationRunner.RunAsync(host, task, line);
        host.Checks!.Returned(task, error, writes);
        digest.AppendData(Encoding.UTF8.GetBytes(answered));
    }

    private static void StopGuests(SimulationRuntime runtime, VirtualHost host)
    {
        // Each by a task of its own: one that never ends keeps what it holds.
        foreach (GuestProcess guest in host.Guests.List())
            runtime.TryDrive(host.Guests.StopAsync(runtime.CreateTask("user space"), guest.Name), Patience, out _);
        runtime.Settle(TimeSpan.FromSeconds(5));
    }
}
