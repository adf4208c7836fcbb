using Apvirt.Ap.Profiles;
using Apvirt.Host.Checks;
using Apvirt.Host.Fuzzing;
using Apvirt.Host.Traces;

namespace Apvirt.Host.Tests.Checks;

/// <summary>V06 on random histories.</summary>
public sealed class LinearizabilityTests
{
    // Not single operations: a scan is many steps by design (invariants.md V06), and what the hardware does has no answer; a
    // guest is started and stopped by many calls; its memory is unmapped in steps (vfio.md §8); what waits until others do
    // something does not end alone; a count of bindings shows that a mask store rebinds queue by queue (ap-bus.md §3).
    private static bool IsSingle(string text)
    {
        TraceLine operation = OperationRunner.Parse(text);
        return !operation.IsSeveralCalls && !operation.IsSeveralSteps && !Waits(text)
            && !text.Contains("host.config", StringComparison.Ordinal) && !text.Contains("queue.", StringComparison.Ordinal) && !text.Contains("bindings", StringComparison.Ordinal);
    }

    // Removing a device that is open goes on when its user has closed it (vfio.md §2).
    private static bool IsOpenBefore(string operation, string[] before) =>
        operation.Split('/') is [.., var name, var last] && last.StartsWith("remove\"", StringComparison.Ordinal)
        && Array.Exists(before, text => !text.Contains("\"path\"", StringComparison.Ordinal) && text.Contains(name, StringComparison.Ordinal));

    // Of two mask stores both have changed the mask before one rebinds (ap-bus.md §3).
    private static string[] WithOneMask(IEnumerable<string> operations)
    {
        bool hasMask = false;
        return [.. operations.Where(operation => !operation.Contains("mask\"", StringComparison.Ordinal) || (!hasMask && (hasMask = true))).Take(3)];
    }

    // Two runs of one vCPU that wait for its mutex, and have to give it back, have no order that all preparations share.
    private static bool Waits(string operation) => operation.Contains("guest.wait", StringComparison.Ordinal);

    [Fact]
    public void V06_operations_at_once_answer_as_in_some_order()
    {
        List<string> found = [];
        for (int episode = 0; episode < 8000; episode++)
        {
            FuzzPlan plan = FuzzPlan.Make(seed: 6, episode, operations: 40, tasks: 1, Profile.Strict);
            string[] operations = [.. plan.Steps.Select(step => step.Text)];
            string[] before = [.. operations[..25].Where(operation => !Waits(operation))];
            string[] concurrent = WithOneMask(operations[25..].Where(operation => IsSingle(operation) && !IsOpenBefore(operation, before)));
            if (new Linearizability(plan.Header, Profile.Strict, before, concurrent).Check(plan.Seed) is { } violation)
                found.Add($"episode {episode}: {violation}");
        }
        Assert.True(found.Count == 0, string.Join("\n", found));
    }

    [Fact]
    public void V06_the_six_step_stolen_queue_has_an_order_whatever_the_schedule()
    {
        string header = """{"trace":"apvirt-trace/1","about":"t","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":[4],"domains":[71],"control_domains":[71],"type":"CEX8C hwtype 14"},"apmask":"0x0","aqmask":"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}""";
        const string m = "62177883-f1bb-47f0-914d-32a22e3a8804";
        Linearizability history = new(
            header, Profile.Strict,
            [
                $$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create","data":"{{m}}"}""",
                $$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/{{m}}/assign_domain","data":"71"}""",
                $$"""{"op":"guest.start","guest":"g","mdev":"{{m}}"}""",
            ],
            [
                """{"op":"write","path":"/sys/bus/ap/apmask","data":"+4"}""",
                $$"""{"op":"write","path":"/sys/devices/vfio_ap/matrix/{{m}}/assign_adapter","data":"4"}""",
            ]);
        for (ulong seed = 1; seed < 200; seed++)
            Assert.Null(history.Check(seed));
    }

    [Fact]
    public void V06_a_count_of_bindings_between_the_steps_of_a_mask_store_is_in_no_order()
    {
        string header = """{"trace":"apvirt-trace/1","about":"t","host":{"apxa":true,"max_adapter":255,"max_domain":255,"adapters":[4,5],"domains":[71],"control_domains":[71],"type":"CEX8C hwtype 14"},"apmask":"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff","aqmask":"0xffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}""";
        Linearizability history = new(
            header, Profile.Strict, [],
            ["""{"op":"write","path":"/sys/bus/ap/apmask","data":"-4,-5"}""", """{"op":"read","path":"/sys/bus/ap/bindings"}"""]);
        string[] found = [.. Enumerable.Range(1, 200).Select(seed => history.Check((ulong)seed)).OfType<string>()];
        Assert.NotEmpty(found);
        Assert.All(found, text => Assert.Contains("\"value\":\"1/2\\n\"", text, StringComparison.Ordinal));
    }
}
