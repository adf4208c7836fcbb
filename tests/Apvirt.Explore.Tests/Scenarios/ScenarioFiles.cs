using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Scenarios;
using Apvirt.Explore.Tests.Scenarios;

[assembly: AssemblyFixture(typeof(ExploredScenarios))]

namespace Apvirt.Explore.Tests.Scenarios;

/// <summary>The scenarios below examples.</summary>
internal static class ScenarioFiles
{
    internal static string Root
    {
        get
        {
            DirectoryInfo? at = new(AppContext.BaseDirectory);
            while (at is not null && !File.Exists(Path.Combine(at.FullName, "Apvirt.slnx")))
                at = at.Parent;
            return at!.FullName;
        }
    }

    internal static string Folder(string name) => Path.Combine(Root, "examples", name);

    internal static Scenario Read(string folder, string name)
    {
        string file = Path.Combine(Folder(folder), name);
        Assert.Null(Scenario.Read(file, File.ReadAllText(file), out Scenario? scenario));
        return scenario!;
    }

    /// <summary>Explores a scenario to the end, on as many threads as there are processors.</summary>
    internal static ScenarioResult Explore(string folder, string name, Profile profile) =>
        new ScenarioSearch(Read(folder, name) with { Profile = profile }).Run(new ExploreOptions { Jobs = Environment.ProcessorCount, AddsPoints = !IsLarge(name) });

    /// <summary>Whether a scenario takes minutes to be exhausted with the points that it needs; a job of its own does it.</summary>
    internal static bool IsLarge(string name) => name is "x-kvm.yaml" or "x-zdev.yaml";
}

/// <summary>What exploring the scenarios and findings of examples found: each is explored once for all tests.</summary>
public sealed class ExploredScenarios
{
    private readonly Dictionary<(string Folder, string Name, string Profile), ScenarioResult> _results = [];

    internal ScenarioResult Of(string name, Profile profile) => Of("scenarios", name, profile);

    internal ScenarioResult Of(string folder, string name, Profile profile)
    {
        lock (_results)
        {
            if (!_results.TryGetValue((folder, name, profile.Name), out ScenarioResult? result))
                _results.Add((folder, name, profile.Name), result = ScenarioFiles.Explore(folder, name, profile));
            return result;
        }
    }
}
