using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Scenarios;
using Apvirt.Explore.Searches;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using BenchmarkDotNet.Attributes;

namespace Apvirt.Bench;

/// <summary>How fast interleavings are explored; a result is the time of one complete execution, or of a whole search.</summary>
public class ExploreBenchmarks
{
    private const int FixedTraces = 6;
    private const int FixedInterleavings = 53;
    private const int Drawn = 1000;
    private static readonly LockClass BenchClass = new("bench", LockKind.Mutex);

    private readonly LockProgramRun _fixed = new(KnownPrograms.All.Single(p => p.Name == "S2-fixed").Program);
    private readonly LockProgramRun _six = new(KnownPrograms.All.Single(p => p.Name == "S3-6").Program);
    private readonly KernelExplored _onKernelLocks = OnKernelLocks(KnownPrograms.All.Single(p => p.Name == "S2-fixed").Program);
    private Scenario _scenario = null!;

    [GlobalSetup]
    public void Read()
    {
        string file = Path.Combine(Checkout.Root, "examples", "scenarios", "x-perm.yaml");
        if (Scenario.Read(file, File.ReadAllText(file), out Scenario? scenario) is { } error)
            throw new InvalidOperationException(error);
        _scenario = scenario!;
    }

    [Benchmark(Description = "S2-fixed, one execution, reduced", OperationsPerInvoke = FixedTraces)]
    public long FixedReduced() => Search.Run(_fixed).Executions;

    [Benchmark(Description = "S2-fixed, one execution, naive", OperationsPerInvoke = FixedInterleavings)]
    public long FixedNaive() => Search.Run(_fixed, new ExploreOptions { Strategy = Strategy.Naive }).Executions;

    [Benchmark(Description = "S3-6 exhausted")]
    public long Six() => Search.Run(_six).Executions;

    [Benchmark(Description = "S3-6 exhausted, hashed, not audited")]
    public long SixHashed() => Hashed(_six, audits: false).States;

    [Benchmark(Description = "S3-6 exhausted, hashed, audited")]
    public long SixAudited() => Hashed(_six, audits: true).States;

    [Benchmark(Description = "S2-fixed exhausted, hashed, not audited")]
    public long FixedHashed() => Hashed(_fixed, audits: false).States;

    [Benchmark(Description = "S2-fixed exhausted, hashed, audited")]
    public long FixedAudited() => Hashed(_fixed, audits: true).States;

    [Benchmark(Description = "S2-fixed on the kernel's locks, one execution", OperationsPerInvoke = FixedTraces)]
    public long FixedOnKernelLocks() => Search.Run(_onKernelLocks).Executions;

    [Benchmark(Description = "mask store against assignment on the driver, one execution of a long search", OperationsPerInvoke = Drawn)]
    public long DriverDrawn() =>
        new ScenarioSearch(_scenario).Run(new ExploreOptions { Strategy = Strategy.Random, ExecutionsMax = Drawn }).Result.Executions;

    // 4 traces and 1 repetition, and the 2 orders of the operations that answers are held against.
    [Benchmark(Description = "mask store against assignment on the driver, one execution", OperationsPerInvoke = 7)]
    public long Driver() => new ScenarioSearch(_scenario).Run(new ExploreOptions()).Result.Executions;

    private static ExploreResult Hashed(IExplored program, bool audits)
    {
        ExploreResult result = new Search(new ExploreOptions { Strategy = Strategy.Hashed, Audits = audits }, () => new SearchWorker(program, Completed: null)).Run();
        return result.Verdict == Verdict.Exhausted ? result : throw new InvalidOperationException($"the search ended with {result.Verdict}");
    }

    // What an execution needs of its own is its locks and its tasks; their code is made once.
    private static KernelExplored OnKernelLocks(LockProgram program)
    {
        KernelMutex[] locks = new KernelMutex[program.Objects];
        Func<KernelTask, ValueTask>[] bodies = [.. program.Tasks.Select(code => (Func<KernelTask, ValueTask>)(task => RunAsync(task, code, locks)))];
        return new KernelExplored(numbers => new ExplorationRuntime { Numbers = numbers }, (runtime, listener) =>
        {
            for (int i = 0; i < locks.Length; i++)
                locks[i] = new KernelMutex(BenchClass);
            runtime.Begin(listener);
            foreach (Func<KernelTask, ValueTask> body in bodies)
                runtime.Spawn("task", body);
        });
    }

    private static async ValueTask RunAsync(KernelTask task, Instruction[] code, KernelMutex[] locks)
    {
        foreach (Instruction instruction in code)
        {
            if (instruction.Kind == StepKind.Lock)
                await locks[instruction.Object].LockAsync(task);
            else
                locks[instruction.Object].Unlock(task);
        }
    }
}
