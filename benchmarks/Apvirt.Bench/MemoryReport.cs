using System.Globalization;

namespace Apvirt.Bench;

/// <summary>What hosts keep in memory, measured as the growth of the heap after a full collection.</summary>
internal static class MemoryReport
{
    internal static void Print(TextWriter output)
    {
        long before = GC.GetTotalMemory(forceFullCollection: true);
        object large = HostBenchmarks.Boot(256);
        Report(output, "a host of 65,536 queues", before, large);
        large = new object();
        before = GC.GetTotalMemory(forceFullCollection: true);
        object fleet = new HostBenchmarks().BootFleet();
        Report(output, "1,000 hosts of 6x6 queues", before, fleet);
        GC.KeepAlive(large);
    }

    private static void Report(TextWriter output, string what, long before, object kept)
    {
        long after = GC.GetTotalMemory(forceFullCollection: true);
        output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{what}: {(after - before) / 1048576.0:F1} MiB kept"));
        GC.KeepAlive(kept);
    }
}
