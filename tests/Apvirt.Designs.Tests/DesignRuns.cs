using Apvirt.Explore.Engine;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;

namespace Apvirt.Designs.Tests;

/// <summary>Runs designs and their parts.</summary>
internal static class DesignRuns
{
    /// <summary>Every interleaving.</summary>
    internal static DesignResult Exhaust(Func<Design> make)
    {
        DesignResult result = DesignSearch.Run(make);
        Assert.Equal(Verdict.Exhausted, result.Result.Verdict);
        return result;
    }

    internal static void AssertHas(DesignResult result, string defect) =>
        Assert.Contains(result.Defects.Keys, found => found.StartsWith(defect, StringComparison.Ordinal));

    /// <summary>One caller alone, who must come to an end.</summary>
    internal static void Sequentially(Func<KernelTask, ValueTask> body, KernelChecks? checks = null)
    {
        SimulationRuntime runtime = new() { Checks = checks };
        SpawnedTask task = runtime.Spawn("caller", body);
        runtime.Advance(TimeSpan.FromSeconds(1));
        Assert.True(task.IsCompleted);
    }
}
