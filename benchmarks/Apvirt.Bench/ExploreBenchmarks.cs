using Apvirt.Explore.Engine;
using Apvirt.Explore.Programs;
using Apvirt.Explore.Scenarios;
using Apvirt.Kernel.Locking;
using Apvirt.Kernel.Runtime;
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
    private Scenario _scenario = null!;

    [GlobalSetup]
    public void Read()
    {
        DirectoryInfo? at = new(AppContext.BaseDirectory);
        while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
            at = at.Parent;
        string file = Path.Combine(at!.FullName, "examples", "scenarios", "x-perm.yaml");
        if (Scenario.Read(file, File.ReadAllText(file), out Scenario? scenario) is { } error)
            throw new InvalidOperationException(error);
        _scenario = scenario!;
    }

    [Benchmark(Description = "S2-fixed, one execution, reduced", OperationsPerInvoke = FixedTraces)]
    public long FixedReduced() => new Explorer(_fixed).Run().Executions;

    [Benchmark(Description = "S2-fixed, one execution, naive", OperationsPerInvoke = FixedInterleavings)]
    public long FixedNaive() => new Explorer(_fixed, new ExploreOptions { Strategy = Strategy.Naive }).Run().Executions;

    [Benchmark(Description = "S3-6 exhausted")]
    public long Six() => new Explorer(_six).Run().Executions;

    [Benchmark(Description = "S2-fixed on the kernel's locks, one execution", OperationsPerInvoke = FixedTraces)]
    public long FixedOnKernelLocks()
    {
        LockProgram program = KnownPrograms.All.Single(p => p.Name == "S2-fixed").Program;
        KernelExplored explored = new(() => new ExplorationRuntime(), (runtime, listener) =>
        {
            KernelMutex[] locks = [.. Enumerable.Range(0, program.Objects).Select(_ => new KernelMutex(BenchClass))];
            runtime.Begin(listener);
            foreach (Instruction[] code in program.Tasks)
            {
                runtime.Spawn("task", async task =>
                {
                    foreach (Instruction instruction in code)
                    {
                        if (instruction.Kind == StepKind.Lock)
                            await locks[instruction.Object].LockAsync(task);
                        else
                            locks[instruction.Object].Unlock(task);
                    }
                });
            }
        });
        return new Explorer(explored).Run().Executions;
    }

    [Benchmark(Description = "mask store against assignment on the driver, one execution of a long search", OperationsPerInvoke = Drawn)]
    public long DriverDrawn() =>
        new ScenarioSearch(_scenario).Run(new ExploreOptions { Strategy = Strategy.Random, ExecutionsMax = Drawn }).Result.Executions;

    // 4 traces and 1 repetition, and the 2 orders of the operations that answers are held against.
    [Benchmark(Description = "mask store against assignment on the driver, one execution", OperationsPerInvoke = 7)]
    public long Driver() => new ScenarioSearch(_scenario).Run(new ExploreOptions()).Result.Executions;
}
