using Apvirt.Ap.Profiles;
using Apvirt.Explore.Engine;
using Apvirt.Explore.Searches;
using Apvirt.Kernel;
using Apvirt.Kernel.Checking;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.VfioPci.Vgpu;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.VfioPci.Tests;

/// <summary>X-zdev and X-gvt of invariants.md, every interleaving.</summary>
public sealed class ExplorationTests
{
    // Prepares a machine, then runs callers in every order; each execution is looked at in its end.
    private static (ExploreResult Result, string[] Wrong, Violation[] Violations) Explore(Func<PciSystem, (Func<KernelTask, ValueTask>[] Callers, Func<string> Look)> make)
    {
        KernelChecks checks = new();
        SortedSet<string> wrong = new(StringComparer.Ordinal);
        Func<string> look = null!;
        KernelExplored program = new(numbers => new ExplorationRuntime { Checks = checks, Numbers = numbers }, (runtime, listener) =>
        {
            PciSystem system = new(runtime, operation => runtime.TryPrepare(Answered(operation), out _));
            (Func<KernelTask, ValueTask>[] callers, look) = make(system);
            runtime.Begin(listener);
            for (int i = 0; i < callers.Length; i++)
                runtime.Spawn($"caller {i}", callers[i]);
        });
        ExploreResult result = Search.Run(program, completed: _ =>
        {
            string found = program.Unfinished != 0 ? "deadlock" : look();
            if (found.Length > 0)
                wrong.Add(found);
            return true;
        });
        Assert.Equal(Verdict.Exhausted, result.Verdict);
        return (result, [.. wrong], checks.Violations.ToArray());

        static async ValueTask<bool> Answered(Func<ValueTask> operation)
        {
            await operation();
            return true;
        }
    }

    [Fact]
    public void X_zdev_a_function_is_associated_while_it_is_open_and_its_vm_lives_as_long()
    {
        (ExploreResult result, string[] wrong, Violation[] violations) = Explore(s =>
        {
            (VfioPciDevice driver, ZpciFunction function) = s.AddFunction("function", 0x11);
            return (
                [
                    async task =>
                    {
                        (Errno error, VfioDeviceFile? file) = await driver.Device.Group.GetDeviceAsync(task, driver.Device.Name);
                        Assert.Equal(Errno.Ok, error);
                        // I35: a designation means an association with the VM of that GISA, and the device open.
                        Assert.Equal(function.Machine is not null, function.Gisa != 0);
                        Assert.Equal(driver.Device.Kvm, function.Machine);
                        await file!.CloseAsync(task);
                    },
                    async task => await s.KvmDevice.DeleteAsync(task, driver.Device.Group),
                    task =>
                    {
                        s.G.Put(task);
                        return default;
                    },
                ],
                () => (s.G.References, function.Machine, function.Gisa, function.Firmware.Translations) == (0, null, 0u, 1) ? "" : $"{s.G.References} references, gisa {function.Gisa:x}");
        });
        Assert.Empty(wrong);
        Assert.Empty(violations.Select(v => v.ToString()));
        Assert.InRange(result.Executions, 3, 10_000);
    }

    [Fact]
    public void M113_unloading_the_driver_against_an_open_gives_ENODEV_or_success()
    {
        HashSet<Errno> answers = [];
        (ExploreResult result, string[] wrong, Violation[] violations) = Explore(s =>
        {
            (VfioPciDevice driver, ZpciFunction function) = s.AddFunction("function", 0x11);
            Errno answer = Errno.Ok;
            return (
                [
                    async task =>
                    {
                        if (driver.Module.TryGo(task))
                            await driver.Device.UnregisterAsync(task);
                    },
                    async task =>
                    {
                        (answer, VfioDeviceFile? file) = await driver.Device.Group.GetDeviceAsync(task, driver.Device.Name);
                        if (file is not null)
                            await file.CloseAsync(task);
                    },
                ],
                () =>
                {
                    answers.Add(answer);
                    int users = driver.Module.Users(s.Task.Runtime);
                    // The group's file has the VM's reference; the container is the group's only user.
                    return (driver.Device.OpenCount, driver.Device.Kvm, s.G.References, function.Machine, function.Gisa, users is 0 or -1) == (0, null, 1, null, 0u, true)
                        && driver.Device.Group.ContainerUsers == 1 ? "" : $"{answer}: {users} users, {s.G.References} references";
                });
        });
        Assert.Equal([Errno.Ok, Errno.ENODEV], answers.Order());
        Assert.Empty(wrong);
        Assert.Empty(violations.Select(v => v.ToString()));
        Assert.InRange(result.Executions, 2, 10_000);
    }

    [Fact]
    public void M114_no_page_stays_pinned_that_is_mapped_while_the_vgpu_is_closed()
    {
        HashSet<Errno> answers = [];
        (ExploreResult result, string[] wrong, Violation[] violations) = Explore(s =>
        {
            GvtAdapter adapter = new(s.Task.Runtime, "adapter", Profile.Strict);
            GvtDevice vgpu = s.AddVgpu("vgpu", adapter);
            VfioDeviceFile file = s.Open(vgpu.Device).File!;
            Errno answer = Errno.Ok;
            return (
                [
                    async task => await file.CloseAsync(task),
                    async task => answer = await vgpu.MapPagesAsync(task, 0x3000),
                ],
                () =>
                {
                    answers.Add(answer);
                    return (vgpu.CachedPages, vgpu.Device.Pins.Count, vgpu.Tracked, adapter.Attached.Count, s.G.References) == (0, 0, null, 0, 1) ? ""
                        : $"{vgpu.CachedPages} pages remembered, {vgpu.Device.Pins.Count} pinned, {s.G.References} references";
                });
        });
        Assert.Equal([Errno.Ok, Errno.EINVAL], answers.Order());
        Assert.Empty(wrong);
        Assert.Empty(violations.Select(v => v.ToString()));
        Assert.InRange(result.Executions, 2, 1000);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void X_gvt_F20_one_vgpu_of_a_vm_opens_unless_looking_and_taking_are_two_steps(bool atOnce)
    {
        (_, string[] wrong, Violation[] violations) = Explore(s =>
        {
            GvtAdapter adapter = new(s.Task.Runtime, "adapter", atOnce ? Profile.Strict : Profile.Linux612);
            GvtDevice[] vgpus = [s.AddVgpu("first", adapter), s.AddVgpu("second", adapter)];
            return (
                [.. vgpus.Select(vgpu => (Func<KernelTask, ValueTask>)(async task => await vgpu.Device.Group.GetDeviceAsync(task, vgpu.Device.Name)))],
                () => adapter.Attached.Count == 1 && s.G.References == 3 ? "" : $"{adapter.Attached.Count} vGPUs have one VM");
        });
        Assert.Equal(atOnce ? [] : ["2 vGPUs have one VM"], wrong);
        Assert.Equal(atOnce ? [] : ["M089"], violations.Select(v => v.Rule).Distinct());
        Assert.All(violations, violation => Assert.Equal("F20", violation.Finding));
    }
}
