using Apvirt.Bench;
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
BenchmarkSwitcher.FromAssembly(typeof(BenchConfig).Assembly).Run(args.Length == 0 ? ["--filter", "*"] : args, new BenchConfig());
MemoryReport.Print(Console.Out);
MountReport.Print(Console.Out);
MountReport.PrintTool(Console.Out);
