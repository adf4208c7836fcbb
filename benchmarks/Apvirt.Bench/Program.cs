using Apvirt.Bench;
using Apvirt.Bench.Peers;
using BenchmarkDotNet.Running;

if (args is ["--memory"])
{
    MemoryReport.Print(Console.Out);
    return;
}
if (args is ["--mount"])
{
    MountReport.Print(Console.Out);
    MountReport.PrintTool(Console.Out);
    return;
}
if (args is ["peers"])
{
    PeersReport.Print(Console.Out);
    return;
}
if (args is ["growth"])
{
    GrowthReport.Print(Console.Out);
    return;
}
// What the report of peers runs as a child.
if (args is ["peers", var search, var program, var until])
{
    OwnPeer.Measure(Console.Out, search, program, stops: until == "first");
    return;
}
BenchmarkSwitcher.FromAssembly(typeof(BenchConfig).Assembly).Run(args.Length == 0 ? ["--filter", "*"] : args, new BenchConfig());
MemoryReport.Print(Console.Out);
MountReport.Print(Console.Out);
MountReport.PrintTool(Console.Out);
